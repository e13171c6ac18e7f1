// Loads the page again each minute until the reader clears the box, and never while the reader types into the search field.
const label = document.querySelector(".refresh label");
const box = label.querySelector("input");
label.hidden = false;
box.checked = localStorage.getItem("refresh") !== "off";
box.addEventListener("change", () => localStorage.setItem("refresh", box.checked ? "on" : "off"));
setInterval(() => { if (box.checked && document.activeElement?.id !== "q") location.reload(); }, 60000);
