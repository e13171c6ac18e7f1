"""The trial of deploy/compose/trial.yaml, without a container engine: `deploy-walk.py DRIFTWISE MAILDEV`.

Started by `scripts/deploy-test walk` as the first process of its own process, mount and network namespaces. Each service has the
name that it has under compose and an address of its own, so the files of the trial are used as they are. What differs:

* MailDev catches the mails, in place of Mailpit.
* The path of the store, and the paths in the commands of the services, lead into a temporary folder.
* The alerts named in `SHORTENED` fire sooner.
* There is no Grafana, because neither Debian, PyPI nor npm packages it. The walk runs the queries of the dashboard, and compares
  the provisioning files with the mounts of the trial.

A difference that cannot be made, because a file has changed, is a failure.
"""

import json
import pathlib
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

import yaml

COMPOSE = pathlib.Path("deploy/compose/trial.yaml")
# The port of each service, as the trial publishes them; MailDev takes the ports of Mailpit.
PORTS = {"simulator": 9470, "driftwise": 9464, "mail": 8025, "prometheus": 9090, "alertmanager": 9093, "grafana": 3000}
SMTP_PORT = 1025
# The longest wait for a condition, in seconds. An alert takes a scrape, an evaluation and its `for`: up to two minutes.
PATIENCE = 240
# Alert: its `for` in rules.yaml, and its `for` in the walk.
SHORTENED = {
    "DriftwiseSourceUnreachable": ("15m", "15s"),
    "DriftwiseVerdictStale": ("5m", "15s"),
    "DriftwiseDown": ("5m", "15s"),
}
RECIPIENTS = {"integrations@acme.example", "it@acme.example", "ops@integrator.example"}


class Failure(Exception):
    """A failure that the walk found."""


def say(text):
    print(f"-- {text}", flush=True)


def check(holds, what):
    if not holds:
        raise Failure(what)


def replaced(text, old, new, count=1):
    """`text` with `old` replaced, which must be there `count` times."""
    check(text.count(old) == count, f"{old!r} is there {text.count(old)} times, not {count}:\n{text}")
    return text.replace(old, new)


def get(service, path):
    """The body of an answer with status 200; None if there is none."""
    try:
        with urllib.request.urlopen(f"http://{service}:{PORTS[service]}{path}", timeout=10) as answer:
            return answer.read().decode()
    except (urllib.error.URLError, OSError):
        return None


def get_json(service, path):
    body = get(service, path)
    return None if body is None else json.loads(body)


class Trial:
    """The services, their files and their processes."""

    def __init__(self, folder, driftwise, maildev):
        self.folder, self.driftwise, self.maildev = folder, driftwise, maildev
        self.header, self.services = COMPOSE.read_text(), yaml.safe_load(COMPOSE.read_text())["services"]
        check(set(self.services) == set(PORTS), f"trial.yaml has other services than this walk: {set(self.services)}")
        self.processes = {}

    def prepare(self):
        """Sets up names and addresses, and puts the files of each service where its mounts lead."""
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        hosts = "127.0.0.1 localhost\n"
        for number, (name, service) in enumerate(self.services.items(), start=11):
            hosts += f"127.0.0.{number} {name}\n"
            port = f"127.0.0.1:{PORTS[name]}:{PORTS[name]}"
            check(service["ports"] == [port], f"{name} publishes {service['ports']}, not {port}")
            for volume in service.get("volumes", []):
                source, target = volume.split(":")[:2]
                place = self.inside(name, target)
                if not source.startswith("."):
                    place.mkdir(parents=True)
                    continue
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes((COMPOSE.parent / source).read_bytes())
        (self.folder / "hosts").write_text(hosts)
        subprocess.run(["mount", "--bind", self.folder / "hosts", "/etc/hosts"], check=True)
        store = self.inside("driftwise", "/var/lib/driftwise")
        self.edit("driftwise", "/etc/driftwise/driftwise.yaml", "sqlite:///var/lib/driftwise/", f"sqlite://{store}/")
        for alert, (shipped, short) in SHORTENED.items():
            rules = self.inside("prometheus", "/etc/prometheus/rules.yaml").read_text()
            rule = re.search(rf"- alert: {alert}\n(?: +\w.*\n)+", rules)
            check(rule, f"there is no alert {alert}")
            changed = replaced(rule[0], f"for: {shipped}\n", f"for: {short}\n")
            self.edit("prometheus", "/etc/prometheus/rules.yaml", rule[0], changed)

    def inside(self, service, path):
        """The path on this machine of a path in the service's container."""
        return self.folder / service / path.lstrip("/")

    def read(self, service, path):
        """A file of the service, which is YAML or JSON."""
        return yaml.safe_load(self.inside(service, path).read_text())

    def edit(self, service, path, old, new):
        place = self.inside(service, path)
        place.write_text(replaced(place.read_text(), old, new))

    def command(self, service):
        """The command of the service in trial.yaml, with its paths."""
        words = self.services[service]["command"]
        place = lambda found: found[1] + str(self.inside(service, found[2]))
        return [re.sub(r"^(--[\w.-]+=)(/\S+)$", place, word) for word in words]

    def start(self, service):
        commands = {
            "simulator": lambda: [self.driftwise, *self.command("simulator")],
            # The image looks for its configuration there by itself.
            "driftwise": lambda: [self.driftwise, "run", "--config", self.inside("driftwise", "/etc/driftwise/driftwise.yaml")],
            "mail": lambda: [
                *[self.maildev, "--ip", "0.0.0.0", "--mail-directory", self.folder / "mails"],
                *["--smtp", str(SMTP_PORT), "--web", str(PORTS["mail"])],
            ],
            "prometheus": lambda: ["prometheus", *self.command("prometheus")],
            # The walk has one Alertmanager, not a cluster.
            "alertmanager": lambda: ["prometheus-alertmanager", *self.command("alertmanager"), "--cluster.listen-address="],
        }
        log = (self.folder / f"{service}.log").open("ab")
        command = commands[service]()
        self.processes[service] = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)

    def stop(self, service):
        """Asks the process to stop, and returns its exit code."""
        process = self.processes.pop(service)
        process.send_signal(signal.SIGTERM)
        try:
            return process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            raise Failure(f"{service} did not stop within 30 seconds") from None

    def wait(self, what, probe):
        """The first value of `probe` that is not empty. Fails when a service has ended, or after PATIENCE."""
        say(f"waiting: {what}")
        began = time.monotonic()
        while not (found := probe()):
            for service, process in self.processes.items():
                check(process.poll() is None, f"{service} ended with {process.poll()} while waiting: {what}")
            check(time.monotonic() - began < PATIENCE, f"not within {PATIENCE} seconds: {what}")
            time.sleep(0.2)
        return found

    def logs(self):
        for log in sorted(self.folder.glob("*.log")):
            lines = log.read_text(errors="replace").splitlines()[-40:]
            print("\n".join([f"---- the end of {log.name}", *lines]), file=sys.stderr)

    def example(self, words):
        """Runs the command in the header of trial.yaml that contains `words`."""
        lines = [line.removeprefix("#").strip() for line in self.header.splitlines()]
        found = [line for line in lines if line.startswith("curl") and words in line]
        check(len(found) == 1, f"trial.yaml has {len(found)} commands with {words}")
        say(found[0])
        subprocess.run([*shlex.split(found[0]), "--fail", "--silent", "--show-error", "--output", "/dev/null"], check=True)


def query(expression):
    """The series of an instant query."""
    answer = get_json("prometheus", "/api/v1/query?" + urllib.parse.urlencode({"query": expression}))
    check(answer and answer["status"] == "success", f"Prometheus refuses {expression}")
    return answer["data"]["result"]


def alerts(name=None):
    """The alerts that Alertmanager shows, resolved ones left out."""
    found = get_json("alertmanager", "/api/v2/alerts?active=true")
    return [alert for alert in found or [] if name in (None, alert["labels"]["alertname"])]


def mails():
    return get_json("mail", "/email") or []


def mails_of(words):
    """The mails whose subject has the words, by recipient; empty until all are there."""
    found = {to["address"]: mail for mail in mails() if words in mail["subject"] for to in mail["to"]}
    return found if set(found) == RECIPIENTS else {}


def show_alert(alert):
    for kind in ("labels", "annotations"):
        for key, value in sorted(alert[kind].items()):
            print(f"     {kind[:-1]} {key}: {value}")
    print(f"     source: {alert['generatorURL']}")


def check_alert(alert, labels):
    """Checks what an on-call person needs in an alert: labels, words without gaps, a runbook, links that a browser can follow."""
    show_alert(alert)
    for key, value in labels.items():
        check(alert["labels"].get(key) == value, f"the label {key} is {alert['labels'].get(key)}, not {value}")
    for key in ("summary", "description"):
        text = alert["annotations"].get(key, "")
        check(text and not re.search(r"<no value>|<error|\{\{|  ", text), f"the {key} reads {text!r}")
    runbook, _, heading = alert["annotations"]["runbook_url"].partition("#")
    headings = re.findall(r"(?m)^### (\w+)$", pathlib.Path(runbook).read_text())
    check(heading in [title.lower() for title in headings], f"{runbook} has no {heading}")
    # Only Driftwise itself knows the address of its pages.
    page = alert["annotations"].get("page_url")
    check((page is None) == (alert["labels"]["alertname"] == "DriftwiseDown"), f"the page_url is {page!r}")
    if page:
        path = page.removeprefix("http://localhost:9464")
        check(path != page and get("driftwise", path), f"{page} leads nowhere")
    check(alert["generatorURL"].startswith("http://localhost:9090/"), f"{alert['generatorURL']} leads nowhere")


def check_grafana(trial):
    """Checks that the provisioning files name the data source of the trial and the folder where the dashboard is mounted."""
    provisioning = "/etc/grafana/provisioning"
    data_source, = trial.read("grafana", f"{provisioning}/datasources/driftwise.yaml")["datasources"]
    check(data_source["url"] == f"http://prometheus:{PORTS['prometheus']}", data_source["url"])
    scraped = trial.read("prometheus", "/etc/prometheus/prometheus.yml")["global"]["scrape_interval"]
    check(data_source["jsonData"]["timeInterval"] == scraped, "Grafana takes another interval than that of the scrapes")
    provider, = trial.read("grafana", f"{provisioning}/dashboards/driftwise.yaml")["providers"]
    home = trial.services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    check(home.startswith(provider["options"]["path"] + "/"), home)
    dashboard = trial.read("grafana", home)
    for variable in dashboard["templating"]["list"]:
        found = re.match(r"label_values\((.*), (\w+)\)$", variable.get("definition", ""))
        if found:
            series = query(interpolated(found[1]))
            check(any(found[2] in each["metric"] for each in series), f"the variable {variable['name']} has no values")
    return dashboard


def interpolated(expression):
    """An expression as Grafana sends it with `All` chosen, and four scrapes as the interval of rates."""
    return re.sub(r"\$(instance|source|session)\b", ".*", expression).replace("$__rate_interval", "2m")


def panels(dashboard):
    """The panels whose queries return anything now, by ID."""
    targets = {panel["id"]: panel.get("targets", []) for panel in dashboard["panels"]}
    return {panel for panel, asked in targets.items() if any(query(interpolated(target["expr"])) for target in asked)}


def check_panels(dashboard, calm, drifted, unreachable, down):
    """Compares where the panels have data while all is well, with a drift, without the source and without Driftwise."""
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            continue
        expressions = " ".join(target["expr"] for target in panel["targets"])
        shown = tuple(panel["id"] in moment for moment in (calm, drifted, unreachable, down))
        if panel["title"] == "Failed requests to sources, per hour":
            right = shown == (False, False, True, True)
        elif "driftwise_credential" in expressions:
            # The trial has no credential with an end.
            right = not any(shown)
        elif "driftwise_drift" in expressions and panel["type"] != "stat" or panel["title"] == "Findings over time":
            right = shown == (False, True, False, False)
        elif panel["type"] == "stat" and "increase(" not in expressions:
            # The panel has a number, 0 or not, while Driftwise runs.
            right = shown == (True, True, True, panel["title"] == "Auditor")
        else:
            right = shown[1]
        check(right, f"the panel {panel['title']!r} has data at the wrong moments: {shown}")


def outage(trial, dashboard, service, name, labels, inhibited=None):
    """Stops a service until its critical alert fires, and starts it until no alert is left. Returns the panels with data meanwhile.

    `inhibited` is an alert that follows from the outage, and that the first one must inhibit.
    """
    say(f"an outage of {service}")
    check(trial.stop(service) == 0, f"{service} did not exit with 0")
    alert, = trial.wait("a firing alert in Alertmanager", lambda: alerts(name))
    check_alert(alert, {**labels, "severity": "critical"})
    if inhibited:
        held = lambda: [each for each in alerts(inhibited) if alert["fingerprint"] in each["status"]["inhibitedBy"]]
        follows, = trial.wait(f"{inhibited}, inhibited by {name}", held)
        check_alert(follows, labels)
    shown = panels(dashboard)
    trial.start(service)
    trial.wait("no alert in Alertmanager", lambda: not alerts())
    return shown


def walk(trial):
    trial.prepare()
    # Driftwise last: the first polls need the simulator.
    for service in ("simulator", "mail", "alertmanager", "prometheus", "driftwise"):
        trial.start(service)
    trial.wait("Driftwise is ready", lambda: get("driftwise", "/readyz"))
    trial.wait("Prometheus is ready", lambda: get("prometheus", "/-/ready"))
    trial.wait("the mail catcher answers", lambda: get("mail", "/email") is not None)
    known = lambda: get_json("prometheus", "/api/v1/alertmanagers")["data"]["activeAlertmanagers"]
    trial.wait("Prometheus knows the Alertmanager", known)
    trial.wait("12 sessions are compliant", lambda: len(query('driftwise_session_status{status="compliant"}')) == 12)
    groups = lambda: get_json("prometheus", "/api/v1/rules")["data"]["groups"]
    evaluated = lambda: all(rule["health"] == "ok" for group in groups() for rule in group["rules"])
    trial.wait("every rule is evaluated", evaluated)
    check(not mails() and not alerts(), f"before the drift: {mails()} {alerts()}")
    dashboard = check_grafana(trial)
    calm = panels(dashboard)

    say("a drift")
    trial.example('"export": true')
    sent = trial.wait("a mail to each recipient", lambda: mails_of("Export is ticked"))
    for mail in sent.values():
        link = re.search(r"http://localhost:9464(/\S+)", mail["text"])
        check(link and get("driftwise", link[1]), f"the mail has no link that leads to a page:\n{mail['text']}")
    print("     " + sent["integrations@acme.example"]["subject"])
    alert, = trial.wait("a firing alert in Alertmanager", lambda: alerts("DriftwiseCriticalDrift"))
    check(alert["annotations"]["session_name"] == "acme-uk.myshopify.com", "the alert does not name the shop")
    drift = {"setting": "export", "rule": "export-off", "severity": "critical", "instance": "driftwise:9464"}
    check_alert(alert, {"source": "demo", "session": "14", **drift})
    # Prometheus sends an alert before it stores it.
    firing = 'ALERTS{alertname="DriftwiseCriticalDrift",alertstate="firing",session="14"}'
    trial.wait("the alert in Prometheus", lambda: query(firing))
    check([each["value"][1] for each in query("driftwise_drift_open")] == ["1"], "there is not one open drift")
    drifted = panels(dashboard)

    say("its end")
    trial.example('"export": false')
    trial.wait("a mail of the end to each recipient", lambda: mails_of("Export was put right"))
    trial.wait("no alert in Alertmanager", lambda: not alerts())
    check(not query("driftwise_drift_open"), "the drift is still open in Prometheus")
    check(query('driftwise_session_status{session="14",status="compliant"}'), "session 14 is not compliant in Prometheus")

    count = len(mails())
    unreachable = outage(trial, dashboard, "simulator", "DriftwiseSourceUnreachable", {"source": "demo"}, "DriftwiseVerdictStale")
    check(len(mails()) == count, "there was a mail within the grace period")
    down = outage(trial, dashboard, "driftwise", "DriftwiseDown", {"instance": "driftwise:9464"})
    check(len(mails()) == count, "a restart repeated a mail")

    check_panels(dashboard, calm, drifted, unreachable, down)
    for service in list(trial.processes):
        code = trial.stop(service)
        check(service == "mail" or code == 0, f"{service} ended with {code}")


def main():
    # The first process of a namespace gets no signal that it does not handle.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    driftwise, maildev = (pathlib.Path(path).resolve() for path in sys.argv[1:])
    with tempfile.TemporaryDirectory(prefix="driftwise-walk-") as folder:
        trial = Trial(pathlib.Path(folder), driftwise, maildev)
        try:
            walk(trial)
        except Exception:
            trial.logs()
            raise
        finally:
            for process in trial.processes.values():
                process.kill()
                process.wait()
    say("the trial works as it should")


if __name__ == "__main__":
    try:
        main()
    except Failure as failure:
        sys.exit(f"FAILED: {failure}")
