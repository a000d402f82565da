// The page: the view (by the part of the address after #), the polling, and the actions of keys and clicks.

import { ApiError, get, key, setKey, SIGN_IN } from "./api.js";
import { readCaller } from "./caller.js";
import { CompareView } from "./compare.js";
import { el, say, show } from "./dom.js";
import { visible } from "./format.js";
import { DeploymentView } from "./deployment.js";
import { forgetGlance, GLANCE, glance } from "./glance.js";
import { ListView } from "./list.js";
import { BreakersView, HealthView, OrphansView } from "./system.js";

const MAX_BACKOFF = 60_000;
const TICK = 1000;
const SHARE = 10;
const THEMES = ["system", "light", "dark"];

const main = document.getElementById("main");
const live = document.getElementById("live");
const trouble = document.getElementById("trouble");

let view = null;
let timer = 0;
let round = 0;
let failures = 0;
let seenAt = 0;
let drawnAt = 0;
let drawing = 0;
let glancedAt = -Infinity;

function viewOf(hash) {
  const [path, query = ""] = hash.replace(/^#/, "").split("?");
  const [first = "", second, third] = path.split("/").filter(Boolean);
  if (first === "deployments" && second) return new DeploymentView(decode(second));
  if (first === "compare" && second && third) return new CompareView(decode(second), decode(third));
  if (first === "breakers") return new BreakersView();
  if (first === "health") return new HealthView();
  if (first === "orphans") return new OrphansView();
  return new ListView(new URLSearchParams(query));
}

function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function open(isNew = false) {
  if (!key()) return askForKey();
  view?.stop?.();
  view = viewOf(location.hash);
  failures = 0;
  trouble.hidden = true;
  for (const link of document.querySelectorAll("#nav a")) {
    const isHere = link.getAttribute("href") === `#/${view.section}`;
    if (isHere) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  for (const id of ["nav", SIGN_IN ? "who" : "forget", "live"]) document.getElementById(id).hidden = false;
  if (SIGN_IN) showCaller();
  show(main);
  view.mount(main, { refresh: ask, failed });
  // After a link the focus moves to the new view; when the page is opened, the browser decides.
  if (isNew) main.focus({ preventScroll: true });
  window.scrollTo(0, 0);
  document.title = `${view.title} – Fabric Saga`;
  look();
  return ask();
}

/** Mark the views that have problems; not more often than the app checks them. */
function look() {
  if (document.hidden || performance.now() - glancedAt < GLANCE) return;
  glancedAt = performance.now();
  glance();
}

/** Read once, draw, and schedule the next read, unless the view wants none. A newer round cancels an older one. */
async function ask() {
  const mine = ++round;
  const asked = view;
  clearTimeout(timer);
  let pause;
  try {
    pause = await asked.refresh();
    if (mine !== round) return;
    if (failures) say("The app responds again.");
    failures = 0;
    seenAt = Date.now();
    trouble.hidden = true;
  } catch (error) {
    if (mine !== round) return;
    pause = failed(error);
    if (pause === null) return;
  }
  draw();
  // A hidden page does not poll; it polls at once when it is visible again.
  if (!document.hidden && pause !== null) timer = setTimeout(ask, pause);
}

/** Show who is signed in, and with which roles. The view itself reports a failure. */
async function showCaller() {
  try {
    const body = await readCaller();
    const who = document.getElementById("who");
    who.textContent = `Sign out ${visible(body.name)}`;
    who.title = body.roles.length ? `Roles: ${body.roles.join(", ")}` : "No role: ask an administrator for one";
    draw();
  } catch {
    // The view's own request fails in the same way.
  }
}

/** Show an error. Return the milliseconds until the next try, or null if the key must be entered first. */
function failed(error) {
  if (!(error instanceof ApiError)) console.error(error);
  if (error.status === 401 || (error.status === 403 && !SIGN_IN)) {
    if (SIGN_IN) askToSignIn();
    else askForKey(error.message);
    return null;
  }
  failures += 1;
  const pause = Math.min(MAX_BACKOFF, 1000 * 2 ** failures) * (0.75 + Math.random() / 2);
  const since = seenAt ? ` The data is from ${new Date(seenAt).toLocaleTimeString([], { hour12: false })}.` : "";
  const message = error instanceof ApiError ? error.message : "The page failed; reload it.";
  show(
    trouble,
    el("span", {}, `${visible(message).replace(/\.?$/, ".")}${since} Next try in ${Math.round(pause / 1000)} s.`),
    el("button", { type: "button", "data-action": "again" }, "Try now"),
  );
  trouble.hidden = false;
  return pause;
}

function draw() {
  if (!view || !key()) return;
  const began = performance.now();
  view.draw();
  drawnAt = performance.now();
  drawing = drawnAt - began;
  document.title = `${view.title} – Fabric Saga`;
  const isLive = failures === 0 && !document.hidden;
  live.classList.toggle("lost", !isLive);
  live.textContent = isLive ? "Live" : "Not live";
}

/** Remove every view and every datum from the page. */
function close() {
  round += 1;
  clearTimeout(timer);
  view?.stop?.();
  view = null;
  setKey(null);
  forgetGlance();
  glancedAt = -Infinity;
  trouble.hidden = true;
  for (const id of ["nav", "forget", "who", "live"]) document.getElementById(id).hidden = true;
}

/** Ask the browser to sign in; it comes back to the present view. */
function askToSignIn() {
  close();
  document.title = "Sign in – Fabric Saga";
  const back = encodeURIComponent(location.pathname + location.hash);
  show(
    main,
    el(
      "div",
      { class: "key" },
      el("h1", {}, "Sign in"),
      el("p", { class: "muted" }, "The app shows its data to callers with a role. An administrator assigns roles."),
      el("p", {}, el("a", { class: "first", id: "sign-in", href: `${SIGN_IN}?post_login_redirect_uri=${back}` }, "Sign in")),
    ),
  );
  document.getElementById("sign-in").focus();
}

function askForKey(message = "") {
  close();
  document.title = "Key – Fabric Saga";
  show(
    main,
    el(
      "form",
      { class: "key", "data-submit": "key", "data-key": "key" },
      el("h1", {}, "Function key"),
      el("p", { class: "muted" }, "This page shows the data of the app's HTTP API, with your key. The key stays in this tab and is forgotten when the tab is closed."),
      message ? el("p", { class: "problem", role: "alert", id: "key-problem" }, visible(message)) : null,
      el("label", { for: "key" }, "Key"),
      el("input", { id: "key", type: "password", autocomplete: "off", spellcheck: "false", required: true, "aria-describedby": message ? "key-problem" : null }),
      el("button", { type: "submit", class: "first" }, "Open"),
      el("details", {}, el("summary", {}, "Where can I find it?"), el("p", {}, "In Azure: the function app, App keys, a host key. On this machine: ", el("code", {}, "make env"), " prints it as ", el("code", {}, "FUNCTION_KEY"), ".")),
    ),
  );
  document.getElementById("key").focus();
  if (message) say(message);
}

async function tryKey(form) {
  const value = form.querySelector("input").value.trim();
  if (!value) return;
  // Header values are Latin-1 without control characters; fetch would throw for anything else.
  if (!/^[\x21-\x7e]+$/.test(value)) return askForKey("A key has only letters, digits and punctuation, without spaces.");
  setKey(value);
  try {
    await get("deployments?limit=1");
  } catch (error) {
    const message = error.status === 401 || error.status === 403 ? "The app does not accept this key." : error.message;
    return askForKey(message);
  }
  await open(true);
}

function setTheme(theme) {
  const chosen = THEMES.includes(theme) ? theme : "system";
  if (chosen === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = chosen;
  localStorage.setItem("fabric-saga-theme", chosen);
  document.getElementById("theme").textContent = `Theme: ${chosen}`;
}

const actions = {
  theme: () => setTheme(THEMES[(THEMES.indexOf(localStorage.getItem("fabric-saga-theme") ?? "system") + 1) % THEMES.length]),
  forget: () => {
    askForKey();
    say("The key is forgotten.");
  },
  again: () => ask(),
  skip: () => (document.querySelector("#main h1") ?? main).scrollIntoView() ?? main.focus(),
  copy: async (button) => {
    await navigator.clipboard?.writeText(button.dataset.text);
    say("Copied.");
    button.classList.add("done");
    setTimeout(() => button.classList.remove("done"), 1500);
  },
};

document.addEventListener("click", (event) => {
  const target = event.target.closest?.("[data-action]");
  // The browser handles a link that opens in another tab.
  if (!target || event.ctrlKey || event.metaKey || event.shiftKey) return;
  if (target.tagName === "A") event.preventDefault();
  (actions[target.dataset.action] ?? view?.actions?.[target.dataset.action])?.(target);
});
document.addEventListener("submit", (event) => {
  event.preventDefault();
  if (event.target.dataset.submit === "key") tryKey(event.target);
});
document.addEventListener("visibilitychange", () => {
  if (!view || !key()) return;
  if (document.hidden) clearTimeout(timer);
  else ask();
});
window.addEventListener("hashchange", () => {
  // The list writes its filters into the address; the view stays the same.
  if (view instanceof ListView && view.takes(location.hash)) return;
  open(true);
});
setInterval(() => {
  // Drawing a very long timeline takes at most a part of the time.
  if (!document.hidden && performance.now() - drawnAt > SHARE * drawing) draw();
  if (view && key()) look();
}, TICK);

setTheme(localStorage.getItem("fabric-saga-theme"));
open();
