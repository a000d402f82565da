// Elements are made here and nowhere else, always from text: no markup is ever parsed, so no name can become one.

const SVG = "http://www.w3.org/2000/svg";

/** An HTML element. Attributes that are null, undefined or false are left out; children may be strings. */
export function el(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.flat(3).filter((c) => c !== null && c !== undefined && c !== false));
  return node;
}

/**
 * Make the children of `target` equal to `nodes` by the fewest changes, so that focus, selection and scroll stay where
 * they are. Children with the same `data-key` are the same thing. Listeners are not carried over: the page listens at
 * its root (see `data-action`).
 */
export function show(target, ...nodes) {
  const holder = document.createElement(target.nodeName);
  holder.append(...nodes.flat(3).filter((n) => n !== null && n !== undefined && n !== false));
  children(target, holder);
}

/**
 * Remembers what was drawn of each of many things, so that what has not changed is neither built nor compared again.
 * It must be forgotten whenever what it stands for is taken off the page by other means.
 */
export class Drawn {
  #signatures = new Map();

  /** What `make` gives, or, where the thing of that key was drawn with the same signature, a sign to leave it. */
  once(key, signature, make) {
    if (this.#signatures.get(key) === signature) return el("div", { "data-key": key, "data-keep": "" });
    this.#signatures.set(key, signature);
    return make();
  }

  forget() {
    this.#signatures.clear();
  }
}

function children(target, source) {
  const keyed = new Map();
  for (const child of target.children) if (child.dataset.key !== undefined) keyed.set(child.dataset.key, child);
  let cursor = target.firstChild;
  for (const wanted of [...source.childNodes]) {
    const key = wanted.dataset?.key;
    let found = key === undefined ? cursor : keyed.get(key);
    if (wanted.dataset?.keep !== undefined) {
      if (found && found === cursor) cursor = cursor.nextSibling;
      else if (found) target.insertBefore(found, cursor);
      continue;
    }
    while (key === undefined && found && !alike(found, wanted)) found = found.nextSibling;
    if (!found || !alike(found, wanted)) {
      target.insertBefore(wanted, cursor);
      continue;
    }
    if (found === cursor) cursor = cursor.nextSibling;
    else if (key === undefined) cursor = drop(target, cursor, found).nextSibling;
    else target.insertBefore(found, cursor);
    become(found, wanted);
  }
  drop(target, cursor, null);
}

function drop(target, from, to) {
  while (from !== to) {
    const next = from.nextSibling;
    target.removeChild(from);
    from = next;
  }
  return to;
}

function alike(a, b) {
  return a.nodeName === b.nodeName && a.dataset?.key === b.dataset?.key;
}

function become(target, source) {
  if (target.nodeType !== Node.ELEMENT_NODE) {
    if (target.nodeValue !== source.nodeValue) target.nodeValue = source.nodeValue;
    return;
  }
  for (const { name } of [...target.attributes]) if (!source.hasAttribute(name)) target.removeAttribute(name);
  for (const { name, value } of source.attributes) {
    if (target.getAttribute(name) === value) continue;
    // As an attribute the content security policy would refuse it; as a property it is allowed.
    if (name === "style") target.style.cssText = source.style.cssText;
    else target.setAttribute(name, value);
  }
  children(target, source);
}

const said = document.getElementById("said");
let toSay = [];

/** Have a screen reader say it, politely: all that is said in one turn, and again what was said before. */
export function say(text) {
  toSay.push(text);
  if (toSay.length > 1) return;
  queueMicrotask(() => {
    said.replaceChildren(toSay.join("; "));
    toSay = [];
  });
}
