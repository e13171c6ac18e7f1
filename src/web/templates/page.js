// Keeps the page current and filters while the reader types. The server makes all content: the parts marked data-live are taken
// from the same address again, so the filter survives, and scroll position, focus, selection and open lists stay. A page whose
// server does not answer says so and loses its colours, since an old green is worse than none.
const EVERY = 5_000; // ms between two loads
const PATIENCE = 10_000; // ms for an answer
const TYPING = 250; // ms of rest before the filter follows

const lost = document.querySelector("#lost");
const label = document.querySelector(".refresh label");
const box = label.querySelector("input");
let latest = 0; // the number of the last request; older answers are dropped

async function load(address) {
  const mine = ++latest;
  try {
    const response = await fetch(address, { signal: AbortSignal.timeout(PATIENCE) });
    if (response.status >= 500) throw new Error(response.status);
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    if (mine !== latest) return;
    if (!page.querySelector(".home")) throw new Error("not a page of Driftwise");
    take(page);
    document.body.classList.remove("lost");
    lost.textContent = "";
  } catch {
    if (mine !== latest) return;
    document.body.classList.add("lost");
    const time = document.querySelector("#as-of time").textContent;
    const words = `This page is old: last updated ${time}. The server does not answer.`;
    if (lost.textContent !== words) lost.textContent = words;
  }
}

function take(page) {
  document.title = page.title;
  const parts = (of) => [...of.querySelectorAll("main [data-live]")].map((part) => part.id).join();
  if (parts(page) !== parts(document)) {
    // A page of another kind, such as that of a session that is gone.
    document.querySelector("main").replaceChildren(...page.querySelector("main").childNodes);
  }
  for (const now of document.querySelectorAll("[data-live]")) {
    const next = page.getElementById(now.id);
    if (!next || next.innerHTML === now.innerHTML || busy(now)) continue;
    const focused = now.contains(document.activeElement) ? place(document.activeElement) : null;
    const open = new Map([...now.querySelectorAll("details")].map((list) => [list.id, list.open]));
    now.replaceChildren(...next.childNodes);
    for (const list of now.querySelectorAll("details")) list.open = open.get(list.id) ?? list.open;
    if (focused) [...now.querySelectorAll("a, summary")].find((other) => place(other) === focused)?.focus({ preventScroll: true });
  }
}

// The reader types, chooses or copies here.
function busy(part) {
  const selection = getSelection();
  const copies = !selection.isCollapsed && part.contains(selection.anchorNode);
  return copies || (part.contains(document.activeElement) && document.activeElement.matches("input, select, button"));
}

function place(element) {
  return element.getAttribute("href") ?? element.parentElement.id;
}

const refresh = () => { if (box.checked && !document.hidden) load(location.href); };
label.hidden = false;
try { box.checked = localStorage.getItem("refresh") !== "off"; } catch { box.checked = true; }
box.addEventListener("change", () => {
  try { localStorage.setItem("refresh", box.checked ? "on" : "off"); } catch { /* the choice holds for this page */ }
  refresh();
});
setInterval(refresh, EVERY);
document.addEventListener("visibilitychange", refresh);
addEventListener("pageshow", (event) => { if (event.persisted) refresh(); });

let typing;
function filter(form) {
  clearTimeout(typing);
  const chosen = [...new FormData(form)].filter(([, value]) => value.trim() !== "");
  const address = chosen.length ? "/?" + new URLSearchParams(chosen) : "/";
  history.replaceState(null, "", address);
  load(address);
}
addEventListener("input", ({ target: { form } }) => {
  if (form?.id !== "filter") return;
  clearTimeout(typing);
  typing = setTimeout(filter, TYPING, form);
});
addEventListener("submit", (event) => {
  event.preventDefault();
  filter(event.target);
});
