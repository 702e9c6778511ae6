// The notation of Rust's `Debug`, read into a tree and shown as one.
//
// What cannot be read is shown as it is: a detail that was cut short is still worth looking at.

/** A tree of `{ type, fields: [[key, value]], text }`. */
function readNotation(text) {
  let at = 0;
  const blank = () => { while (at < text.length && text[at] === " ") at++; };
  const closing = { "{": "}", "(": ")", "[": "]" };

  function quoted() {
    const from = at++;
    while (at < text.length && text[at] !== '"') at += text[at] === "\\" ? 2 : 1;
    at++;
    return { text: text.slice(from, at), quoted: true };
  }

  function group(type) {
    const open = text[at++], close = closing[open], fields = [];
    for (;;) {
      blank();
      if (at >= text.length) break;
      if (text[at] === close) { at++; break; }
      if (text[at] === ",") { at++; continue; }
      const from = at, value = item();
      if (text[at] === ":" && text[at + 1] === " ") {
        at += 2;
        blank();
        fields.push([text.slice(from, at - 2), item()]);
      } else {
        fields.push([null, value]);
      }
      if (at === from) at++;
    }
    return { type, open, fields };
  }

  function item() {
    if (text[at] === '"') return quoted();
    const from = at;
    while (at < text.length && !",{}()[]".includes(text[at])) {
      // A colon ends a key only before a blank: a zxid is written 3:12.
      if (text[at] === ":" && text[at + 1] === " ") break;
      if (text[at] === " " && "{".includes(text[at + 1])) { at++; break; }
      at++;
    }
    const word = text.slice(from, at).trim();
    if (at < text.length && closing[text[at]] && !(text[at] === "{" && word === "")) return group(word);
    if (text[at] === "{") return group("");
    return { text: word };
  }

  return item();
}

/** The tree as elements. */
function showNotation(tree) {
  if (!tree.fields) return el("span", { class: tree.quoted ? "text" : "" }, tree.text);
  const bytes = tree.open === "[" && tree.fields.length >= 8 &&
    tree.fields.every(([key, value]) => key === null && /^\d{1,3}$/.test(value.text ?? ""));
  if (bytes) {
    const hex = tree.fields.map(([, value]) => Number(value.text).toString(16).padStart(2, "0")).join("");
    return el("span", {}, hex);
  }
  const simple = tree.fields.every(([, value]) => !value.fields) && tree.fields.length <= 1;
  const head = tree.type ? el("span", { class: "type" }, tree.type) : null;
  if (tree.fields.length === 0) return el("span", {}, head, tree.type ? "" : tree.open === "[" ? "none" : "");
  if (simple && tree.fields[0][0] === null) return el("span", {}, head, head ? " " : "", showNotation(tree.fields[0][1]));
  if (tree.open === "(" && tree.fields.length === 1) return el("span", {}, head, head ? " " : "", showNotation(tree.fields[0][1]));
  const inner = tree.fields.map(([key, value], place) =>
    el("div", {}, el("span", { class: "key" }, `${key ?? place} `), showNotation(value)));
  return el("span", {}, head, el("div", { class: "inner" }, ...inner));
}

/** An element with properties and children. */
function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined && value !== "") element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}
