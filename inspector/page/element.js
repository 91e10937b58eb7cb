// Elements made of text alone: nothing that comes from the card is ever read as HTML.

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith('on')) made.addEventListener(key.slice(2), value);
    else if (key === 'class') made.className = value;
    else if (key in made && typeof value !== 'string') made[key] = value;
    else made.setAttribute(key, value === true ? '' : value);
  }
  made.append(...children.flat(Infinity).filter(child => child !== null && child !== undefined && child !== false));
  return made;
}

export const byId = id => document.getElementById(id);

export const number = value => new Intl.NumberFormat('en').format(value);

export function octets(count) {
  return `${number(count)} ${count === 1 ? 'octet' : 'octets'}`;
}

export function time(seconds, precise = true) {
  const at = new Date(seconds * 1000);
  const two = value => String(value).padStart(2, '0');
  const text = `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
  return precise ? `${text}.${String(at.getMilliseconds()).padStart(3, '0')}` : text;
}

export const spaced = hex => hex.replace(/(..)(?=.)/g, '$1 ');

// Octets in rows of eight, each with its offset and its characters.
export function dump(hex) {
  const rows = [];
  const shown = Math.min(hex.length, 8192);
  for (let at = 0; at < shown; at += 16) {
    const row = hex.slice(at, at + 16);
    const pairs = row.match(/../g) || [];
    const text = pairs.map(pair => {
      const code = parseInt(pair, 16);
      return code > 32 && code < 127 ? String.fromCharCode(code) : '·';
    }).join('');
    rows.push(element('div', { class: 'row' },
      element('span', { class: 'offset' }, (at / 2).toString(16).toUpperCase().padStart(4, '0')),
      element('span', { class: 'octets' }, pairs.map(pair =>
        element('span', { class: /^(FF|00)$/.test(pair) ? 'free' : null }, pair))),
      element('span', { class: 'characters', 'aria-hidden': 'true' }, text)));
  }
  if (shown < hex.length) rows.push(element('p', { class: 'soft' }, `and ${octets((hex.length - shown) / 2)} more`));
  return element('div', { class: 'dump' }, rows);
}

// Fields of the decoder: a name, a value, what it means, and what is in it.
export function fields(list, depth = 0) {
  return element('dl', { class: 'fields' }, list.map(field => {
    const value = field.secret_bytes !== undefined ? `${octets(field.secret_bytes)}, secret`
      : field.value === undefined ? '' : typeof field.value === 'boolean' ? (field.value ? 'yes' : 'no') : String(field.value);
    const below = field.fields || [];
    const long = value.length > 96 && /^[0-9A-F]+$/.test(value);
    return element('div', { class: below.length && !value ? 'group' : null },
      element('dt', { title: field.name }, field.label || field.name),
      element('dd', {},
        value && element('span', { class: /^[0-9A-F]{4,}$/.test(value) ? 'value mono' : 'value' }, long ? `${value.slice(0, 96)}…` : value),
        field.meaning && element('span', { class: 'meaning' }, field.meaning),
        below.length > 0 && fields(below, depth + 1)));
  }));
}

let timer = 0;
export function tell(text, isBad = false) {
  const told = byId('told');
  told.replaceChildren(element('span', { class: isBad ? 'bad' : 'good' }, text));
  told.classList.add('shown');
  clearTimeout(timer);
  timer = setTimeout(() => told.classList.remove('shown'), isBad ? 12000 : 5000);
}

// A question with a form: resolves with what was entered, or with nothing.
export function ask({ title, lead, body = [], ok, grave = false }) {
  const dialog = byId('dialog');
  return new Promise(resolve => {
    let outcome = null;
    const form = element('form', { method: 'dialog' },
      element('h2', { id: 'dialog-title' }, title),
      lead && element('p', { class: 'lead' }, lead),
      body,
      element('p', { class: 'problem', id: 'problem', role: 'alert', hidden: true }),
      element('div', { class: 'row end' },
        element('button', { type: 'button', class: 'plain', onclick: () => dialog.close() }, 'Cancel'),
        element('button', { type: 'submit', class: grave ? 'main grave' : 'main' }, ok)));
    form.addEventListener('submit', event => {
      event.preventDefault();
      outcome = Object.fromEntries(new FormData(form));
      dialog.close();
    });
    dialog.replaceChildren(form);
    dialog.addEventListener('close', () => {
      // What was typed may be a key.
      for (const field of form.querySelectorAll('input, textarea')) field.value = '';
      dialog.replaceChildren();
      resolve(outcome);
    }, { once: true });
    dialog.showModal();
  });
}
