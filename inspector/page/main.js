// The page of `vuicc inspect`: what is asked of its server, and what happens meanwhile.

import { ask, byId, element, fields, spaced, tell, time } from './element.js';
import * as tree from './tree.js';
import { view } from './views.js';

const KEPT = 1500;
const TOPICS = [['', 'All'], ['host', 'From the host'], ['page', 'From this page'], ['failed', 'Failed'], ['file', 'Files'], ['pin', 'PINs'], ['es10', 'ES10'], ['toolkit', 'Toolkit'], ['authentication', 'Authentication'], ['power', 'Power']];

// The token is in the address, behind `#`, once; from then on only in this tab.
const shown = location.hash.slice(1);
if (shown) {
  sessionStorage.setItem('token', shown);
  history.replaceState(null, '', '/');
}
const token = sessionStorage.getItem('token') || '';

async function request(path, body) {
  const options = { headers: { authorization: `Bearer ${token}` }, cache: 'no-store' };
  if (body) Object.assign(options, { method: 'POST', body: JSON.stringify(body), headers: { ...options.headers, 'content-type': 'application/json' } });
  const response = await fetch(path, options);
  const answer = await response.json().catch(() => ({ error: `no answer that is understood (${response.status})` }));
  if (!response.ok) throw new Error(answer.error || response.statusText);
  return answer;
}

const app = {
  card: null, file: null, history: [],

  async act(body) {
    try {
      const { done } = await request('/api/act', body);
      tell(done.charAt(0).toUpperCase() + done.slice(1));
      await refresh();
      return true;
    } catch (error) {
      tell(error.message, true);
      return false;
    }
  },

  async profile(profile, change) {
    const name = profile.nickname || profile.name || profile.iccid;
    if (change === 'delete' && !await ask({ title: `Delete ${name}?`, lead: 'Its files, keys and applications are gone for good.', ok: 'Delete', grave: true })) return;
    await app.act({ act: 'profile', iccid: profile.iccid, change });
  },

  go(id) { tree.select(id, true); byId('detail').focus(); },
};

function banner(text) {
  const at = byId('banner');
  at.hidden = !text;
  at.textContent = text || '';
}

let drawn = '';
let drawnOf = '';
let isPostponed = false;
function draw(item, isNew) {
  const detail = byId('detail');
  // What has not changed stays as it is, and nobody's typing is interrupted.
  const of = JSON.stringify(item.view === 'file' ? [item.file, app.file] : item.view === 'history' ? app.history.at(-1) : app.card);
  if (!isNew && of === drawnOf) return;
  isPostponed = !isNew && detail.contains(document.activeElement) && document.activeElement.matches('input, textarea') && document.activeElement.value !== '';
  if (isPostponed) return;
  drawnOf = of;
  const open = new Set([...detail.querySelectorAll('details[open] > summary')].map(summary => summary.textContent));
  const at = detail.scrollTop;
  const typed = byId('fault')?.value;
  detail.replaceChildren(...view(app, item).filter(Boolean));
  if (!isNew) {
    for (const summary of detail.querySelectorAll('details > summary')) if (open.has(summary.textContent)) summary.parentElement.open = true;
    if (typed && byId('fault')) byId('fault').value = typed;
  }
  detail.scrollTop = isNew ? 0 : at;
}

async function choose(item) {
  const isNew = item.id !== drawn;
  drawn = item.id;
  if (item.view !== 'file') return draw(item, isNew);
  if (isNew) { app.file = null; draw(item, true); }
  try {
    const file = await request(`/api/file?domain=${item.domain.number}&file=${item.file.number}`);
    if (drawn !== item.id) return;
    app.file = file;
    draw(item, false);
  } catch (error) {
    tell(error.message, true);
  }
}

let isReading = false;
let again = false;
let before = '';
async function refresh() {
  if (isReading) { again = true; return; }
  isReading = true;
  try {
    do {
      again = false;
      app.card = await request('/api/card');
      byId('name').textContent = app.card.name;
      document.title = `${app.card.name} · vuicc inspect`;
      const text = JSON.stringify(app.card);
      if (text !== before) {
        before = text;
        toolbar();
        tree.show(app.card, choose);
      }
      if (!byId('dialog').open) await choose(tree.current());
    } while (again);
    banner('');
  } catch (error) {
    banner(error.message);
  } finally {
    isReading = false;
  }
}

function toolbar() {
  const { card } = app;
  const state = card.state;
  const isOut = state && state.in === false;
  const why = (name, other) => card.cannot[name] || (state?.refusal) || other || null;
  const parts = [card.card_type, state?.refusal ? 'does not run' : isOut ? 'out of its place' : state && !state.powered ? 'without power' : state?.place ? `in ${state.place}` : state ? 'runs for this page' : 'in a reader'];
  byId('subtitle').textContent = parts.join(' · ');
  byId('subtitle').className = state?.refusal || isOut || (state && !state.powered) ? 'soft warn' : 'soft';
  const acts = [
    ['reset', 'Reset', why('reset', isOut && 'the card is out'), () => app.act({ act: 'reset' })],
    ['cut', 'Cut power', why('power', isOut ? 'the card is out' : state && !state.powered && 'the card has no power'), () => app.act({ act: 'cut' })],
    isOut ? ['insert', 'Insert', why('place'), () => app.act({ act: 'insert' })] : ['pull', 'Pull', why('place'), () => app.act({ act: 'pull' })],
  ];
  const focused = document.activeElement?.closest?.('#acts')?.contains(document.activeElement) ? document.activeElement.id : null;
  byId('acts').replaceChildren(...acts.map(([name, label, not, onclick]) =>
    element('button', { type: 'button', id: `act-${name}`, class: 'plain small', disabled: Boolean(not), title: not, onclick }, label)),
  element('button', { type: 'button', class: 'plain small', id: 'help', 'aria-label': 'Keys', onclick: help }, '?'));
  if (focused) (byId(focused) || byId('acts').querySelector('button:not(:disabled)'))?.focus();
}

// --- APDUs ---

let last = 0;
let lastApdu = '';
function isShown(event) {
  const wanted = byId('topic').value;
  return !wanted || event.kind !== 'apdu' || event.by === wanted || event.topic === wanted || (wanted === 'failed' && event.failed);
}

function line(event) {
  if (event.kind === 'lost') return element('li', { class: 'gap' }, `${time(event.at)} · some may be missing: ${event.why}`);
  const has = event.fields?.length > 0 || event.command || event.cut;
  const summary = [
    element('span', { class: 'when' }, time(event.at)), element('span', { class: `by ${event.by}` }, event.by), element('span', { class: 'what' }, event.summary),
    element('span', { class: event.failed ? 'outcome bad' : 'outcome' }, event.outcome)];
  if (!has) return element('li', { class: 'apdu' }, element('div', { class: 'summary' }, summary));
  const details = element('details', {}, element('summary', { class: 'summary' }, summary));
  // What nobody looks at is not made.
  details.addEventListener('toggle', () => {
    if (!details.open || details.children.length > 1) return;
    const hex = (label, octets, secret) => octets !== undefined && element('div', {}, element('dt', {}, label), element('dd', { class: 'mono' }, spaced(octets), secret ? ` … ${secret} octets, secret` : ''));
    details.append(element('dl', { class: 'raw' }, hex('Command', event.command, event.secret_bytes), hex(event.atr === undefined ? 'Response' : 'ATR', event.response ?? event.atr, event.response_secret_bytes),
      event.micros !== undefined && element('div', {}, element('dt', {}, 'Took'), element('dd', {}, event.micros < 1000 ? `${event.micros} µs` : `${(event.micros / 1000).toFixed(1)} ms`))),
    event.cut ? element('p', { class: 'soft' }, 'It is too long for this list; vuicc apdu decode explains a recording of it.') : fields(event.fields));
  });
  return element('li', { class: event.failed ? 'apdu failed' : 'apdu', 'data-number': String(event.number) }, details);
}

const events = [];
function list(event) {
  const at = byId('stream');
  if (isShown(event)) at.append(line(event));
  while (at.children.length > KEPT) at.firstChild.remove();
  byId('no-events').hidden = at.children.length > 0;
  at.hidden = at.children.length === 0;
  if (byId('follow').checked) at.scrollTop = at.scrollHeight;
}

function redraw() {
  byId('stream').replaceChildren();
  events.forEach(list);
  byId('no-events').hidden = byId('stream').children.length > 0;
  byId('stream').hidden = byId('stream').children.length === 0;
  byId('no-events-why').textContent = byId('topic').value ? 'Of this kind; the others are hidden.' : 'What a host sends to the card appears here as it passes, and what this page sends.';
}

let wait = 0;
function soon() {
  clearTimeout(wait);
  wait = setTimeout(refresh, 120);
}

function hear(event) {
  if (event.id <= last) return;
  last = event.id;
  if (event.kind === 'apdu') lastApdu = event.summary;
  if (event.kind === 'apdu' || event.kind === 'lost') {
    events.push(event);
    if (events.length > KEPT) events.shift();
    list(event);
  } else if (event.kind === 'changes') {
    app.history.push({ at: event.at, after: lastApdu, changes: event.changes });
    if (app.history.length > 300) app.history.shift();
    soon();
  } else if (event.kind === 'state') {
    soon();
  }
}

async function listen() {
  for (;;) {
    try {
      const response = await fetch(`/api/events?after=${last}`, { headers: { authorization: `Bearer ${token}` }, cache: 'no-store' });
      if (!response.ok) throw new Error((await response.json()).error);
      banner('');
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = '';
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        rest += value;
        const blocks = rest.split('\n\n');
        rest = blocks.pop();
        for (const block of blocks) {
          const data = block.split('\n').find(one => one.startsWith('data: '));
          if (data) hear(JSON.parse(data.slice(6)));
        }
      }
    } catch (error) {
      const isAway = error instanceof TypeError;
      banner(isAway ? 'vuicc inspect has ended, or does not answer; this page shows what was last.' : error.message);
      await new Promise(resolve => setTimeout(resolve, 1500));
      if (!isAway) continue;
      // Another process at this address counts anew, and does not know this token.
    }
    await new Promise(resolve => setTimeout(resolve, 300));
  }
}

// --- keys ---

const KEYS = [['/', 'filter the tree'], ['1', 'to the tree'], ['2', 'to what is selected'], ['3', 'to the APDUs'], ['?', 'these keys'], ['↑ ↓ ← →', 'in the tree: from item to item, open and close'], ['Home, End', 'in the tree: first and last item'],
  ['Enter', 'in the tree: to what is selected'], ['Space', 'in the tree: open or close'], ['*', 'in the tree: open all beside'], ['letters', 'in the tree: the next name that begins so']];

async function help() {
  const single = localStorage.getItem('keys') !== 'off';
  const answer = await ask({ title: 'Keys', ok: 'Keep', body: [
    element('dl', { class: 'facts keys' }, KEYS.map(([key, what]) => element('div', {}, element('dt', {}, element('kbd', {}, key)), element('dd', {}, what)))),
    element('div', { class: 'choice' }, element('input', { type: 'checkbox', id: 'single', name: 'single', checked: single }), element('label', { for: 'single' }, 'Use the keys / 1 2 3 ?'))] });
  if (answer) localStorage.setItem('keys', answer.single ? 'on' : 'off');
}

document.addEventListener('keydown', event => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest('input, textarea, select, dialog') || localStorage.getItem('keys') === 'off') return;
  const to = { '/': () => byId('filter').focus(), 1: tree.focus, 2: () => byId('detail').focus(), 3: () => byId('stream').focus(), '?': help }[event.key];
  if (to) { event.preventDefault(); to(); }
});

for (const [value, label] of TOPICS) byId('topic').append(element('option', { value }, label));
byId('topic').addEventListener('change', redraw);
byId('clear').addEventListener('click', () => { events.length = 0; redraw(); });
byId('stream').addEventListener('scroll', () => {
  const at = byId('stream');
  if (at.scrollTop + at.clientHeight < at.scrollHeight - 40) byId('follow').checked = false;
});
byId('follow').addEventListener('change', () => { if (byId('follow').checked) byId('stream').scrollTop = byId('stream').scrollHeight; });

if (!token) {
  banner('The address has no token: open the whole address that vuicc inspect has printed, with what stands behind #.');
  byId('subtitle').textContent = 'nothing is shown without the token';
  byId('stream').hidden = true;
} else {
  tree.begin();
  byId('detail').addEventListener('focusout', () => isPostponed && setTimeout(() => choose(tree.current())));
  redraw();
  await refresh();
  listen();
}
