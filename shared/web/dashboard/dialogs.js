// Every change is confirmed in a dialog that says what will happen.

import { post, SIGN_IN } from "./api.js";
import { el, say } from "./dom.js";
import { name, visible } from "./format.js";
import { VERBS } from "./verbs.js";

const WHO = "fabric-saga-who";

/** Confirm and send a command. Resolves to the response, or to null if nothing was sent. */
export function command(verb, header, steps = []) {
  const { label, effect, isForStep, isDestructive, needsReason } = VERBS[verb] ?? { label: verb, effect: "" };
  // "Cancel" alone could be mistaken for the button that closes the dialog.
  const confirm = verb === "cancel" ? "Cancel deployment" : label;
  const body = [
    el("p", { id: "ask-does" }, effect),
    el("p", { class: "about" }, name(header.name || header.deployment_id), " on ", name(header.target)),
  ];
  if (isForStep) {
    body.push(field("step", "Step", el("select", { id: "ask-step", name: "step" }, steps.map((s) => el("option", { value: s.step_id }, visible([s.step_id, s.asks?.message].filter(Boolean).join(": ")).slice(0, 120))))));
  }
  body.push(
    // A signed-in caller's name is proven by the token, and a stated one is ignored.
    SIGN_IN ? null : field("requested_by", "Your name", el("input", { id: "ask-requested_by", name: "requested_by", maxlength: 200, autocomplete: "name", value: sessionStorage.getItem(WHO) ?? "" })),
    field("reason", `Reason, for the audit${needsReason ? "" : " (optional)"}`, el("textarea", { id: "ask-reason", name: "reason", rows: 2, maxlength: 500, required: needsReason })),
  );
  const path = `deployments/${encodeURIComponent(header.deployment_id)}/${verb}`;
  return ask({ title: `${label} this ${isForStep ? "step" : "deployment"}?`, body, label: confirm, isGrave: isDestructive, send: (values) => post(path, values) });
}

/** Confirm and close a breaker manually. */
export function resetBreaker(breaker) {
  const body = [el("p", { id: "ask-does" }, "Calls to this area of Fabric pass again at once. If the area is still failing, the breaker opens again."), el("p", { class: "about" }, name(breaker.name))];
  return ask({ title: "Reset this breaker?", body, label: "Reset", send: () => post(`breakers/${encodeURIComponent(breaker.name)}/reset`) });
}

function field(id, label, input) {
  return el("div", { class: "field" }, el("label", { for: `ask-${id}` }, label), input);
}

function ask({ title, body, label, isGrave, send }) {
  return new Promise((resolve) => {
    const problem = el("p", { class: "problem", role: "alert", hidden: true });
    const first = el("button", { type: "submit", class: isGrave ? "grave" : "first" }, label);
    const close = el("button", { type: "button" }, "Back");
    const form = el("form", {}, el("h2", { id: "ask-title" }, title), body, problem, el("div", { class: "row end" }, close, first));
    const dialog = el("dialog", { "aria-labelledby": "ask-title", "aria-describedby": "ask-does" }, form);
    let answer = null;
    close.addEventListener("click", () => dialog.close());
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(answer);
    });
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      if (first.disabled) return;
      const values = Object.fromEntries([...new FormData(form)].filter(([, value]) => value !== ""));
      if (values.requested_by) sessionStorage.setItem(WHO, values.requested_by);
      first.disabled = true;
      problem.hidden = true;
      try {
        answer = await send(values);
        say(`${label}: ${answer.message ?? "done"}.`);
        dialog.close();
      } catch (error) {
        problem.textContent = visible(error.message);
        problem.hidden = false;
        first.disabled = false;
      }
    });
    document.body.append(dialog);
    // The browser keeps the focus inside, closes on Escape, and returns the focus to the element that opened the dialog.
    dialog.showModal();
    (form.querySelector("select, input, textarea") ?? close).focus();
  });
}
