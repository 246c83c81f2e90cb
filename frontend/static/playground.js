// The playground: what it waits for, Stop, copying a run as a script, and keeping a finished run beside the next one.
// `announce`, `one` and `all` are app.js's.

const bench = document.querySelector(".outcome");
const compose = document.querySelector("#compose");

// Stop ends the request, which reaches the worker as a client that has left.
const stop = compose.querySelector("[data-stop]");
const pending = compose.querySelector("#pending");
const usual = pending.textContent;
stop.addEventListener("click", () => {
  stop.dataset.pressed = "";
  htmx.trigger(compose, "htmx:abort");
});
compose.addEventListener("htmx:before:request", (event) => {
  if (event.target !== compose) return;
  delete stop.dataset.pressed;
  stop.hidden = false;
  pending.textContent = usual;
  for (const run of all("#run [data-streaming]")) delete run.dataset.streaming;
  compose.dataset.running = "";
  for (const go of all("#compose .go")) go.setAttribute("aria-disabled", "true"); // not disabled: the focus stays
  const outcome = one(".outcome");
  if (outcome.getBoundingClientRect().top > innerHeight / 2) outcome.scrollIntoView(); // it stands below the form
});
compose.addEventListener("htmx:finally:request", (event) => {
  if (event.target !== compose) return;
  if (stop.contains(document.activeElement)) one("#compose .primary").focus();
  for (const go of all("#compose .go")) go.removeAttribute("aria-disabled");
  stop.hidden = true;
  delete compose.dataset.running;
  for (const state of all("#run .writing")) {
    state.textContent = "stopped";
    state.classList.remove("writing");
  }
  if ("pressed" in stop.dataset) announce("Stopped");
});

// A slider counts in units of the neuron's own range and writes the raw number, which is what counts.
const field = (slider) => slider.closest(".row").querySelector('[name="value"]');
const plain = (number) => number.replace("-", "\u2212");
const real = (text) => (text.trim() ? Number(text.replace("\u2212", "-")) : NaN);
function tell(slider) {
  const units = real(field(slider).value) / slider.dataset.own;
  const known = Number.isFinite(units);
  if (known && document.activeElement !== slider) slider.value = units;
  const said = known
    ? `${plain(units.toFixed(1))} \u00d7 its high, ${plain(Number(slider.dataset.own).toPrecision(3))}`
    : "";
  slider.nextElementSibling.textContent = said;
  slider.setAttribute("aria-valuetext", known ? `${said}, value ${field(slider).value}` : "no value yet");
}
compose.addEventListener("input", ({ target }) => {
  if (target.matches("[data-own]"))
    field(target).value = String(Number((target.value * target.dataset.own).toPrecision(3)));
  const slider = target.closest(".row")?.querySelector("[data-own]");
  if (slider) tell(slider);
});

// Buttons and sliders that need a script are brought up to date as they arrive.
function show() {
  for (const slider of compose.querySelectorAll("[data-own]")) tell(slider);
  for (const button of bench.querySelectorAll("#run [data-copy-from]")) button.hidden = false;
  const done = bench.querySelector("#run [data-announce]");
  for (const button of bench.querySelectorAll("#run [data-keep]")) button.hidden = !done;
}
document.addEventListener("htmx:after:swap", show);
show();

bench.addEventListener("click", async (event) => {
  const copy = event.target.closest("[data-copy-from]");
  if (copy) {
    await navigator.clipboard.writeText(document.getElementById(copy.dataset.copyFrom).textContent);
    copy.textContent = "Copied";
    setTimeout(() => {
      copy.textContent = "Copy";
    }, 1500);
  }
  if (event.target.closest("[data-keep]")) keep();
  const drop = event.target.closest("[data-drop]");
  if (drop) {
    drop.closest(".kept").remove();
    document.querySelector("#text").focus();
  }
});

// A kept run is a copy without identities, so that nothing that streams later can reach it.
function keep() {
  const run = bench.querySelector("#run-body").cloneNode(true);
  for (const part of run.querySelectorAll(".scripts, .reply, [data-keep]")) part.remove();
  for (const part of [run, ...run.querySelectorAll("[id], [aria-labelledby], [data-announce]")]) {
    for (const name of ["id", "aria-labelledby", "data-announce", "data-said"]) part.removeAttribute(name);
  }
  const kept = document.createElement("section");
  kept.className = "kept";
  const number = document.querySelectorAll(".kept").length + 1;
  const rows = [...document.querySelectorAll("#clamps .row")].map((row) =>
    [...row.querySelectorAll("[name]:not(button)")].map((field) => field.value).join(" "),
  );
  const title = document.createElement("h3");
  title.textContent = `Kept run ${number}: ${rows.join(", ")}`;
  title.tabIndex = -1;
  const drop = document.createElement("button");
  drop.type = "button";
  drop.className = "quiet";
  drop.dataset.drop = "";
  drop.textContent = "Remove";
  drop.setAttribute("aria-label", `Remove kept run ${number}`);
  const head = document.createElement("div");
  head.className = "kept-title";
  head.append(title, drop);
  kept.append(head, run);
  kept.setAttribute("aria-label", title.textContent);
  bench.append(kept);
  for (const button of bench.querySelectorAll("#run [data-keep]")) button.hidden = true;
  title.focus();
}
