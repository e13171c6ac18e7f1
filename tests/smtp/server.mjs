// A real mail server (npm `smtp-server`) with faults at every stage, driven by tests/smtp.rs.
//
// Options come as JSON in the first argument: mode (starttls, implicit, none), key, cert, user, pass, auth (methods), greeting,
// tokens (that sign in with XOAUTH2) and uses (how often each does before it has expired), refusal (the code of a refused
// sign-in), adds (words to add to every refusal).
// An address chooses a fault: CODE-STAGE@..., such as 450-rcpt@acme.example or 552-data@acme.example; the sender's address for
// `mail`. Every line on standard output is JSON: first {"port"}, then one for each accepted message. The server ends when its
// standard input does, so that it does not outlive the tests.
import { createRequire } from 'node:module';

const options = JSON.parse(process.argv[2]);
// The package is installed beside the build, not beside this file.
const { SMTPServer } = createRequire(options.modules)('smtp-server');

const added = options.adds ? ` ${options.adds}` : '';
const say = (what) => process.stdout.write(JSON.stringify(what) + '\n');

// How often each token has signed in.
const uses = new Map();

function fault(address, stage) {
  const chosen = /^(\d{3})-([a-z]+)@/.exec(address);
  if (!chosen || chosen[2] !== stage) return null;
  return Object.assign(new Error(`<${address}>: no ${stage} for you${added}`), { responseCode: Number(chosen[1]) });
}

const server = new SMTPServer({
  secure: options.mode === 'implicit',
  hideSTARTTLS: options.mode === 'none',
  key: options.key,
  cert: options.cert,
  disableReverseLookup: true,
  authMethods: options.auth ?? ['PLAIN', 'LOGIN'],
  authOptional: !options.user,
  allowInsecureAuth: options.mode === 'none',
  disabledCommands: options.auth?.length === 0 ? ['AUTH'] : [],
  onConnect(session, done) {
    done(options.greeting ? Object.assign(new Error('not now'), { responseCode: options.greeting }) : null);
  },
  onAuth(auth, session, done) {
    if (auth.method === 'XOAUTH2') {
      const used = uses.get(auth.accessToken) ?? 0;
      uses.set(auth.accessToken, used + 1);
      const known = auth.username === options.user && (options.tokens ?? []).includes(auth.accessToken);
      if (known && used < (options.uses ?? Infinity)) return done(null, { user: auth.username });
      return done(null, { data: { status: '401', schemes: 'bearer', scope: `mail ${auth.accessToken}` } });
    }
    if (auth.username === options.user && auth.password === options.pass) return done(null, { user: auth.username });
    done(Object.assign(new Error(`5.7.8 no entry with ${added || auth.password}`), { responseCode: options.refusal ?? 535 }));
  },
  onMailFrom: (address, session, done) => done(fault(address.address, 'mail')),
  onRcptTo: (address, session, done) => done(fault(address.address, 'rcpt')),
  onData(stream, session, done) {
    const pieces = [];
    stream.on('data', (piece) => pieces.push(piece));
    stream.on('end', () => {
      const to = session.envelope.rcptTo.map((recipient) => recipient.address);
      const refused = fault(to[0], 'data');
      if (refused) return done(refused);
      const raw = Buffer.concat(pieces).toString('base64');
      const { user = null, secure } = session;
      say({ from: session.envelope.mailFrom.address, to, user, secure, raw });
      done(null, 'taken');
    });
  },
});

server.on('error', (error) => process.stderr.write(`server: ${error.message}\n`));
server.listen(0, '127.0.0.1', () => say({ port: server.server.address().port }));
process.stdin.on('end', () => process.exit(0)).resume();
