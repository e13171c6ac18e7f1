//! Proxies: the program polls a source directly, even if the environment names a proxy, unless the configuration says otherwise.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::program::{Done, driftwise};
use crate::world::{Setup, World};

/// The password of the proxy; its slash is percent-encoded in the URL.
const PROXY_PASSWORD: &str = "pr0xy/c4n4ry-password";

/// A proxy that answers as OrderWise, whatever host a request names.
struct Proxy {
    address: SocketAddr,
    /// The heads of all requests. A connection without one counts as an empty head.
    heads: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// `refusal` is the response to every export, if there is one.
    fn start(refusal: Option<&'static str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&heads);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let head = answer(stream, refusal);
                noted.lock().unwrap().push(head);
            }
        });
        Self { address, heads }
    }

    fn heads(&self) -> Vec<String> {
        std::mem::take(&mut self.heads.lock().unwrap())
    }
}

fn answer(mut stream: TcpStream, refusal: Option<&str>) -> String {
    let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
    while !String::from_utf8_lossy(&request).contains("\r\n\r\n") {
        match stream.read(&mut buffer) {
            Ok(len) if len > 0 => request.extend_from_slice(&buffer[..len]),
            _ => return String::new(),
        }
    }
    let head = String::from_utf8_lossy(&request).into_owned();
    let body = match refusal {
        _ if head.contains("gettoken") => "\"a-token-of-the-proxy\"",
        Some(refusal) => refusal,
        None => r#"[{"session_id":14}]"#,
    };
    let status = if head.contains("gettoken") || refusal.is_none() { "200 OK" } else { "502 Bad Gateway" };
    let length = body.len();
    let _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
    // Reads the rest of the request, because closing a connection with unread bytes can lose the response.
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let _ = stream.read_to_end(&mut Vec::new());
    head
}

/// A world whose source is at `base_url`, or at the stand-in.
fn world(base_url: Option<&str>, source: &str) -> World {
    let world = World::new(1, &Setup { source: format!("timeout: 5s, {source}"), ..Setup::default() });
    if let Some(base_url) = base_url {
        world.edit(&[(&format!("http://{}/OWAPI", world.api), base_url)]);
    }
    world
}

/// Runs `arguments` with every variable naming the proxy.
fn run(world: &World, proxy: &Proxy, arguments: &[&str], except: &str) -> Done {
    let mut command: Command = driftwise(world.folder());
    for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        command.env(name, format!("http://{}", proxy.address));
    }
    command.env("NO_PROXY", except).env_remove("no_proxy").env_remove("REQUEST_METHOD");
    command.args(arguments).output().unwrap().into()
}

const ELSEWHERE: &str = "http://erp.acme.invalid/OWAPI";

#[test]
fn a_proxy_of_the_environment_is_not_used_unless_the_source_says_so() {
    let proxy = Proxy::start(None);
    let here = world(None, "max_body: 1MiB");
    for command in [&["check"][..], &["validate", "--online"], &["sessions", "--source", "erp"]] {
        run(&here, &proxy, command, "").expect(0);
    }
    let elsewhere = world(Some(ELSEWHERE), "allow_insecure: true");
    let done = run(&elsewhere, &proxy, &["check"], "").expect(3);
    assert!(done.out.contains("host name cannot be found"), "{}", done.out);
    assert_eq!(proxy.heads(), Vec::<String>::new());
}

#[test]
fn a_source_that_says_so_is_polled_through_the_proxy_of_the_environment() {
    let proxy = Proxy::start(None);
    let elsewhere = world(Some(ELSEWHERE), "allow_insecure: true, proxy: env");
    let done = run(&elsewhere, &proxy, &["sessions", "--source", "erp"], "").expect(0);
    assert!(done.out.contains("14"), "{}", done.out);
    let heads = proxy.heads();
    assert_eq!(heads.len(), 2, "{heads:?}");
    assert!(heads[0].starts_with("GET http://erp.acme.invalid/OWAPI/token/gettoken HTTP/1.1\r\n"), "{heads:?}");
    let done = run(&elsewhere, &proxy, &["sessions", "--source", "erp"], ".acme.invalid").expect(3);
    assert!(format!("{}{}", done.out, done.err).contains("host name cannot be found"), "{}{}", done.out, done.err);
    assert_eq!(proxy.heads(), Vec::<String>::new());
}

#[test]
fn this_machine_is_never_reached_through_a_proxy() {
    let proxy = Proxy::start(None);
    let named = format!("proxy: \"http://{}\"", proxy.address);
    for key in ["proxy: env", named.as_str()] {
        let here = world(None, key);
        let port = here.api.port();
        run(&here, &proxy, &["check"], "").expect(0);
        for host in ["localhost", "LOCALHOST", "127.1.2.3", "[::ffff:127.0.0.1]"] {
            // Whether the stand-in is reachable by that name depends on the system.
            let named = world(Some(&format!("http://{host}:{port}/OWAPI")), &format!("allow_insecure: true, {key}"));
            run(&named, &proxy, &["check"], "");
        }
    }
    assert_eq!(proxy.heads(), Vec::<String>::new());
}

#[test]
fn a_configured_proxy_gets_its_sign_in_and_no_output_shows_it() {
    let echo = "you sent driftwise:pr0xy/c4n4ry-password and ZHJpZnR3aXNlOnByMHh5L2M0bjRyeS1wYXNzd29yZA==";
    let proxy = Proxy::start(Some(echo));
    let encoded = PROXY_PASSWORD.replace('/', "%2F");
    let url = format!("http://driftwise:{encoded}@{}", proxy.address);
    let ways =
        [format!("proxy: \"{url}\""), "proxy: { env: PROXY }".to_owned(), "proxy: { file: proxy-url }".to_owned()];
    for way in ways {
        let world = world(Some(ELSEWHERE), &format!("allow_insecure: true, {way}"));
        std::fs::write(world.path("proxy-url"), format!("{url}\n")).unwrap();
        for command in [&["check"][..], &["validate", "--online"], &["validate"]] {
            let mut loud = driftwise(world.folder());
            loud.args(command).env("PROXY", &url).env("RUST_LOG", "trace,hyper=trace,hyper_util=trace,reqwest=trace");
            let done: Done = loud.output().unwrap().into();
            let said = done.out + &done.err;
            for secret in ["c4n4ry", "L2M0bjRyeS1wYXNz"] {
                assert!(!said.contains(secret), "{command:?} {way}: {said}");
            }
            assert!(command == ["validate"] || said.contains("502 Bad Gateway: \"you sent [redacted]"), "{said}");
        }
        let heads = proxy.heads();
        let sign_in = BASE64_STANDARD.encode(format!("driftwise:{PROXY_PASSWORD}"));
        let sign_in = format!("proxy-authorization: basic {}\r\n", sign_in.to_lowercase());
        assert_eq!(heads.len(), 4, "{heads:?}");
        assert!(heads.iter().all(|head| head.to_lowercase().contains(&sign_in)), "{heads:?}");
    }
}
