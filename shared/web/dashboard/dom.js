// Elements are created only here and only from text: markup is never parsed, so no name can become markup.

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
 * they are. Children with the same `data-key` are the same element. Listeners are not carried over: the page listens at
 * its root (see `data-action`).
 */
export function show(target, ...nodes) {
  const holder = document.createElement(target.nodeName);
  holder.append(...nodes.flat(3).filter((n) => n !== null && n !== undefined && n !== false));
  children(target, holder);
}

/**
 * Remembers the signature of each drawn item, so that an unchanged item is neither built nor compared again.
 * Call `forget` when the items are removed from the page by other means.
 */
export class Drawn {
  #signatures = new Map();

  /** The result of `make`, or a placeholder if the item of that key was drawn with the same signature. */
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
    // The content security policy refuses the attribute; the property is allowed.
    if (name === "style") target.style.cssText = source.style.cssText;
    else target.setAttribute(name, value);
  }
  children(target, source);
}

const said = document.getElementById("said");
let toSay = [];

/** Announce a text to screen readers, politely: all texts of one turn together, also repeated ones. */
export function say(text) {
  toSay.push(text);
  if (toSay.length > 1) return;
  queueMicrotask(() => {
    said.replaceChildren(toSay.join("; "));
    toSay = [];
  });
}
