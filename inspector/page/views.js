// What is shown of what is selected in the tree.

import { ask, dump, element, fields, number, octets, spaced, time } from './element.js';
import { glyph } from './tree.js';

const facts = list => element('dl', { class: 'facts' }, list.filter(([, value]) => value !== null && value !== undefined && value !== '').map(([name, value, kind]) =>
  element('div', {}, element('dt', {}, name), element('dd', { class: kind || null }, value))));
const sheet = (title, ...body) => element('section', { class: 'sheet' }, title && element('h3', {}, title), ...body);
const badge = (text, kind = '') => element('span', { class: `state ${kind}` }, text);
const heading = (kind, title, ...rest) => element('div', { class: 'heading' }, element('div', { class: 'title' }, glyph(kind), element('h2', {}, title)), ...rest);
const empty = (text, why) => element('div', { class: 'empty' }, element('p', {}, text), why && element('p', { class: 'soft' }, why));
const more = (title, body, isOpen = false) => element('details', { open: isOpen }, element('summary', {}, title), body);
const capital = text => text.charAt(0).toUpperCase() + text.slice(1);

// A button, or why there is none.
function act(label, why, onclick, kind = 'plain small') {
  const button = element('button', { type: 'button', class: kind, onclick, disabled: Boolean(why) }, label);
  if (why) button.title = why;
  return button;
}

function profileCard(profile, app) {
  const why = app.card.cannot.profile;
  const change = kind => app.profile(profile, kind);
  return element('li', { class: 'profile' },
    element('div', { class: 'heading' }, element('div', {},
      element('strong', {}, profile.nickname || profile.name || profile.iccid),
      element('p', { class: 'soft' }, [profile.service_provider, profile.class].filter(Boolean).join(' · '))),
    badge(profile.enabled ? 'enabled' : 'disabled', profile.enabled ? 'good' : 'over')),
    facts([['ICCID', profile.iccid, 'mono'], ['ISD-P', profile.isdp_aid, 'mono'], ['Rules', (profile.policy_rules || []).join(', ')]]),
    element('div', { class: 'row' },
      act(profile.enabled ? 'Disable' : 'Enable', why, () => change(profile.enabled ? 'disable' : 'enable')),
      act('Delete …', why, () => change('delete'), 'plain small danger')),
    why && element('p', { class: 'why' }, why));
}

function cardView(app) {
  const { card } = app;
  const state = card.state;
  const where = !state ? null : state.refusal ? state.refusal : state.place ? `in ${state.place}` : 'in no reader: it runs for this page';
  const power = !state || state.refusal ? null : !state.in ? 'out of its place' : state.powered ? 'powered' : 'without power';
  const made = card.made_at ? `${card.made_by}, ${new Date(card.made_at * 1000).toISOString().slice(0, 10)}` : card.made_by;
  const parts = [heading('card', card.name, badge(card.card_type))];
  parts.push(sheet(null, facts([
    ['EID', card.euicc?.eid, 'mono'], ['ATR', spaced(card.atr), 'mono'], ['Place', where], ['Power', power], ['Like', card.like], ['Made by', made],
    ['Memory', card.memory && `${number(card.memory.used)} of ${number(card.memory.total)} octets, ${number(card.memory.free)} free`],
    ['Image', card.image, 'mono'],
  ])));
  if (card.euicc) {
    const profiles = card.euicc.profiles || [];
    parts.push(sheet('Profiles', profiles.length
      ? element('ul', { class: 'profiles' }, profiles.map(profile => profileCard(profile, app)))
      : empty('No profile is on this eUICC.', 'vuicc lpa profile download, or vuicc card new --profile, puts one there.')));
    const notifications = card.euicc.notifications || [];
    if (notifications.length) {
      parts.push(sheet('Notifications to deliver', element('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': 'Notifications' }, element('table', {},
        element('thead', {}, element('tr', {}, ['No.', 'Operation', 'ICCID', 'To'].map(name => element('th', { scope: 'col' }, name)))),
        element('tbody', {}, notifications.map(one => element('tr', {}, element('td', {}, String(one.sequence_number)), element('td', {}, one.operation),
          element('td', { class: 'mono' }, one.iccid || '–'), element('td', {}, one.address))))))));
    }
    if (card.facts?.length) {
      parts.push(sheet('What it says of itself', ...card.facts.map(fact => more(fact.function,
        fact.refusal ? element('p', { class: 'soft' }, fact.refusal) : fields(fact.fields)))));
    }
  }
  if (card.kind === 'reader') {
    parts.push(sheet('A card in a reader', element('p', {}, 'It is seen from its contacts: of its files those that the specifications name, of APDUs those of this page.'),
      element('div', { class: 'row' }, act('Read the card again', null, () => app.act({ act: 'read' })))));
  }
  return parts;
}

function pins(list) {
  return element('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': 'PINs' }, element('table', {},
    element('thead', {}, element('tr', {}, ['Key', 'Of', 'Tries left', ''].map(name => element(name ? 'th' : 'td', name ? { scope: 'col' } : {}, name)))),
    element('tbody', {}, list.map(pin => element('tr', {}, element('th', { scope: 'row' }, pin.name), element('td', {}, pin.directory),
      element('td', {}, element('span', { class: 'tries', 'aria-hidden': 'true' }, '●'.repeat(pin.tries) + '○'.repeat(Math.max(0, pin.maximum_tries - pin.tries))), ` ${pin.tries} of ${pin.maximum_tries}`),
      element('td', {}, pin.tries === 0 ? badge('blocked', 'bad') : pin.enabled ? '' : badge('not asked for', 'over')))))));
}

function domainView(app, { domain, profile, label }) {
  const parts = [heading(profile ? 'profile' : 'euicc', label, profile && badge(profile.enabled ? 'enabled' : 'disabled', profile.enabled ? 'good' : 'over'))];
  if (profile) parts.push(element('ul', { class: 'profiles alone' }, profileCard(profile, app)));
  if (domain.used !== undefined) {
    parts.push(sheet(null, facts([['Memory', octets(domain.used)], ['Files', number(count(domain.files))],
      ['Channels', domain.active ? 'see its files' : domain.number === 0 && app.card.euicc ? 'see the files of the enabled profile' : 'do not see its files']])));
  }
  if (domain.applications.length) {
    parts.push(sheet('Applications', element('ul', { class: 'list' }, domain.applications.map(application =>
      element('li', {}, element('strong', {}, application.name || 'application'), element('span', { class: 'mono soft' }, application.aid))))));
  }
  if (domain.pins.length) parts.push(sheet('PINs and keys', pins(domain.pins)));
  return parts;
}

const called = domain => [domain.title, domain.tail].filter(Boolean).join(' ');
const count = files => files.reduce((sum, file) => sum + 1 + count(file.files), 0);

function applicationView(app, { application, label }) {
  return [heading('application', label), sheet(null, facts([['AID', application.aid, 'mono'], ['Life cycle', `0x${application.life_cycle.toString(16).toUpperCase().padStart(2, '0')}`]]),
    element('p', { class: 'soft' }, 'It has no files; what it keeps, it keeps for itself.'))];
}

function chunk(app, item, file, one) {
  const isFree = one.octets && /^(FF)+$/.test(one.octets);
  const why = file.cannot.card && file.cannot.owner ? file.cannot.card : null;
  const title = one.record ? `Record ${one.record}` : 'Content';
  return element('article', { class: 'chunk' },
    element('div', { class: 'heading' }, element('h3', {}, title, isFree && badge('free', 'over')),
      one.octets !== null && act('Edit …', why, () => edit(app, item, file, one))),
    element('div', { class: 'beside' },
      element('div', { class: 'decoded' }, one.fields.length ? fields(one.fields) : element('p', { class: 'soft' }, isFree ? 'Nothing is written here.' : 'Its coding is not known here.')),
      one.octets === null ? element('p', { class: 'secret' }, `${octets(one.secret_bytes)} that may be a key: not shown`)
        : element('div', { class: 'hex', tabindex: '0', role: 'region', 'aria-label': `${title} as octets` }, one.octets ? dump(one.octets) : element('p', { class: 'soft' }, 'No octet.'))));
}

async function edit(app, item, file, one) {
  const keys = file.keys;
  const cannotCard = file.cannot.card;
  const choices = [['card', 'By the card, under its access rules', cannotCard], ['owner', 'As owner, beside its access rules', file.cannot.owner]];
  const first = choices.find(([, , why]) => !why)?.[0];
  const rule = file.access.find(one => one.operation === 'Update')?.condition;
  const title = `Edit ${file.title}${one.record ? `, record ${one.record}` : ''}`;
  const answer = await ask({
    title, ok: 'Write',
    lead: `UPDATE asks for: ${rule || 'unknown'}.`,
    body: [
      element('div', { class: 'field' }, element('label', { for: 'octets' }, 'Octets, hexadecimal'),
        element('textarea', { id: 'octets', name: 'octets', class: 'mono', rows: String(Math.min(10, Math.max(2, Math.ceil(one.octets.length / 40)))), spellcheck: 'false', autocomplete: 'off', 'aria-describedby': 'size' }, spaced(one.octets)),
        element('p', { id: 'size', class: 'soft' }, `All ${octets(one.octets.length / 2)}; spaces do not matter.`)),
      element('fieldset', { class: 'choices' }, element('legend', {}, 'How'), choices.map(([value, label, why]) => element('div', { class: 'choice' },
        element('input', { type: 'radio', name: 'way', value, id: `way-${value}`, checked: value === first, disabled: Boolean(why) }),
        element('label', { for: `way-${value}` }, label), why && element('p', { class: 'why' }, why)))),
      !cannotCard && keys.length > 0 && element('div', { class: 'choice' }, element('input', { type: 'checkbox', id: 'last-try', name: 'last-try' }),
        element('label', { for: 'last-try' }, 'Use the last try of a key as well')),
      !cannotCard && keys.map(key => element('div', { class: 'field' }, element('label', { for: `key-${key.reference}` }, `${key.name}, if it is asked for`),
        element('input', { type: 'password', id: `key-${key.reference}`, name: `key-${key.reference}`, autocomplete: 'off', maxlength: '16', placeholder: '4 to 8 characters, or 16 hexadecimal digits' }))),
    ],
  });
  if (!answer) return;
  const presented = keys.filter(key => answer[`key-${key.reference}`]).map(key => ({ reference: key.reference, value: answer[`key-${key.reference}`], last_try: Boolean(answer['last-try']) }));
  await app.act({
    act: 'update', domain: file.domain, file: file.number, record: one.record || null, octets: answer.octets.replace(/\s+/g, '').toUpperCase(),
    owner: answer.way === 'owner', keys: answer.way === 'owner' ? [] : presented,
  });
}

function fileView(app, item) {
  const { file: node } = item;
  const file = app.file;
  const size = node.size === null || node.size === undefined ? null : node.records ? `${node.records} × ${octets(node.record_length)}` : octets(node.size);
  const way = element('nav', { class: 'way', 'aria-label': 'Place' }, element('ol', {}, [called(item.domain), ...node.way].map(step => element('li', {}, step))));
  const parts = [way, heading(item.kind, item.label, element('div', { class: 'badges' }, badge(node.kind), size && badge(size), node.sfi ? badge(`SFI ${node.sfi.toString(16).toUpperCase().padStart(2, '0')}`) : null,
    node.state && badge(node.state, 'wait')))];
  if (!file) return parts.concat(element('p', { class: 'soft', role: 'status' }, 'reading …'));
  if (file.note) parts.push(element('p', { class: 'soft' }, file.note));
  if (file.refusal) parts.push(sheet('Content', empty('The card does not tell it.', file.refusal)));
  if (file.chunks.length) {
    const filled = file.chunks.filter(one => !(one.octets && /^(FF)+$/.test(one.octets)) || file.chunks.length === 1);
    const free = file.chunks.filter(one => !filled.includes(one));
    parts.push(element('section', { class: 'sheet chunks' }, filled.map(one => chunk(app, item, file, one)),
      free.length > 0 && more(`${free.length} free ${free.length === 1 ? 'record' : 'records'}`, element('div', {}, free.map(one => chunk(app, item, file, one))))));
  } else if (node.files.length) {
    parts.push(sheet(null, element('p', {}, `${number(count(node.files))} files are in it.`)));
  }
  if (node.link) parts.push(sheet(null, facts([['Link', `shows the content of ${node.link}`]])));
  if (file.access.length) {
    parts.push(sheet('Access rules', facts(file.access.map(rule => [rule.operation, rule.condition]))));
  }
  parts.push(sheet(null, more('File control parameters', element('div', { class: 'beside' }, element('div', { class: 'decoded' }, fields(file.fcp_fields)),
    element('div', { class: 'hex', tabindex: '0', role: 'region', 'aria-label': 'File control parameters as octets' }, dump(file.fcp))))));
  return parts;
}

// Rectangles whose areas are to each other as the values, as near to squares as that goes.
function squarify(parts, box) {
  const placed = [];
  const rest = parts.filter(part => part.octets > 0);
  let total = rest.reduce((sum, part) => sum + part.octets, 0);
  let { x, y, w, h } = box;
  while (rest.length) {
    const scale = (w * h) / total;
    const side = Math.min(w, h);
    const strip = [];
    const worst = list => { const sum = list.reduce((all, part) => all + part.octets, 0) * scale; return Math.max(...list.map(part => Math.max(side * side * part.octets * scale / (sum * sum), sum * sum / (side * side * part.octets * scale)))); };
    while (rest.length && (!strip.length || worst([...strip, rest[0]]) <= worst(strip))) strip.push(rest.shift());
    const sum = strip.reduce((all, part) => all + part.octets, 0);
    const depth = sum * scale / side;
    let at = 0;
    for (const part of strip) {
      const length = part.octets * scale / depth;
      placed.push({ part, ...(w >= h ? { x, y: y + at, w: depth, h: length } : { x: x + at, y, w: length, h: depth }) });
      at += length;
    }
    if (w >= h) { x += depth; w -= depth; } else { y += depth; h -= depth; }
    total -= sum;
  }
  return placed;
}

function memoryView(app) {
  const { memory, domains } = app.card;
  if (!memory) return [heading('memory', 'Memory'), empty('It cannot be seen.', app.card.cannot.memory)];
  const share = value => `${(100 * value / memory.total).toFixed(value * 100 < memory.total ? 2 : 1)} %`;
  const parts = [heading('memory', 'Memory', badge(`${share(memory.used)} used`))];
  const bar = element('div', { class: 'meter', role: 'img', 'aria-label': `${number(memory.used)} of ${number(memory.total)} octets used` });
  domains.forEach((domain, at) => {
    const piece = element('span', { class: `piece c${at % 6}` });
    piece.style.setProperty('width', `${100 * domain.used / memory.total}%`);
    bar.append(piece);
  });
  const legend = element('ul', { class: 'legend' }, domains.map((domain, at) => element('li', {}, element('span', { class: `dot c${at % 6}` }), `${called(domain)}: `, element('strong', {}, octets(domain.used)))),
    element('li', {}, element('span', { class: 'dot free' }), 'free: ', element('strong', {}, octets(memory.free))));
  parts.push(sheet(null, bar, legend));
  for (const [at, domain] of domains.entries()) {
    const own = memory.parts.filter(part => part.domain === domain.number);
    if (!own.length) continue;
    const map = element('div', { class: 'map', 'aria-hidden': 'true' });
    for (const { part, x, y, w, h } of squarify(own.slice(0, 80), { x: 0, y: 0, w: 100, h: 42 })) {
      const cell = element('div', { class: `cell c${at % 6} k-${part.kind.toLowerCase()}`, title: `${part.name}: ${octets(part.octets)}` }, w > 8 && h > 5 && element('span', {}, part.name), w > 8 && h > 9 && element('span', { class: 'small' }, number(part.octets)));
      for (const [name, value] of [['left', x], ['width', w]]) cell.style.setProperty(name, `${value}%`);
      for (const [name, value] of [['top', y], ['height', h]]) cell.style.setProperty(name, `${100 * value / 42}%`);
      map.append(cell);
    }
    const largest = own.slice(0, 8);
    const table = list => element('table', {}, element('thead', {}, element('tr', {}, ['What', 'Kind', 'Octets'].map((name, column) => element('th', { scope: 'col', class: column === 2 ? 'right' : null }, name)))),
      element('tbody', {}, list.map(part => element('tr', {}, element('th', { scope: 'row' }, part.file === undefined ? part.name : element('button', { type: 'button', class: 'link', onclick: () => app.go(`file/${part.domain}/${part.file}`) }, part.name)),
        element('td', {}, part.kind), element('td', { class: 'right' }, number(part.octets))))));
    parts.push(sheet(`${called(domain)}, ${octets(domain.used)}`, map, table(largest), own.length > 8 && more(`${own.length - 8} more`, table(own.slice(8)))));
  }
  return parts;
}

const PRESETS = [
  ['The power fails in the middle of a write', 'cut@write'], ['The next command gets no answer', 'mute'], ['SELECT answers 6F00 once', 'status=6F00@SELECT'], ['Every answer comes 2 s later', 'slow=2s,always'],
  ['The memory is full', 'memory-full'], ['A write fails', 'write-error'], ['EnableProfile answers catBusy twice', 'EnableProfile=catBusy,times=2'],
];

function faultsView(app) {
  const { card } = app;
  const why = card.cannot.fault;
  const parts = [heading('fault', 'Faults')];
  if (why) return parts.concat(empty('No fault can be armed.', why));
  const list = card.faults || [];
  parts.push(sheet('Armed', list.length ? element('ul', { class: 'list faults' }, list.map(fault => element('li', {},
    element('div', {}, element('code', {}, fault.fault), element('p', { class: 'soft' }, fault.state)),
    act('Clear', null, () => app.act({ act: 'clear_faults', numbers: [fault.number] })))))
    : empty('Nothing is to go wrong with this card.'),
  list.length > 1 && element('div', { class: 'row' }, act('Clear all', null, () => app.act({ act: 'clear_faults', numbers: [] })))));
  const input = element('input', { id: 'fault', name: 'fault', class: 'mono', autocomplete: 'off', spellcheck: 'false', placeholder: 'cut@write', required: true, 'aria-describedby': 'fault-form' });
  const form = element('form', { onsubmit: async event => { event.preventDefault(); if (await app.act({ act: 'fault', fault: input.value })) { input.value = ''; app.go('faults'); } } },
    element('div', { class: 'field' }, element('label', { for: 'fault' }, 'What goes wrong, where, when'), input,
      element('p', { id: 'fault-form', class: 'soft' }, 'WHAT[@PLACE][,before|,after][,from=N][,times=N|,always]')),
    element('div', { class: 'row' }, element('button', { type: 'submit', class: 'main small', id: 'arm' }, 'Arm')));
  const presets = element('ul', { class: 'presets' }, PRESETS.filter(([, text]) => card.euicc || !text.includes('Profile')).map(([label, text]) =>
    element('li', {}, element('button', { type: 'button', class: 'preset', onclick: () => { input.value = text; input.focus(); } }, element('span', {}, label), element('code', {}, text)))));
  parts.push(sheet('Arm a fault', form, element('h4', {}, 'To begin with'), presets, more('All kinds', element('dl', { class: 'facts' }, (card.kinds || []).map(kind =>
    element('div', {}, element('dt', {}, element('code', {}, kind.form)), element('dd', {}, kind.meaning)))))));
  return parts;
}

function historyView(app) {
  const list = app.history;
  const parts = [heading('history', 'Changes')];
  if (!list.length) return parts.concat(empty('Nothing has changed since this page was started.', 'What commands, hosts and this page write into the card appears here, with what was there before.'));
  parts.push(element('ol', { class: 'sheet changes' }, list.slice().reverse().map(entry => element('li', {}, element('p', { class: 'when' }, element('time', {}, time(entry.at)), entry.after ? ` after ${entry.after}` : ''),
    entry.changes.map(change => element('div', { class: 'change' },
      element('p', {}, element('span', { class: 'soft' }, `${change.of || `Domain ${change.domain}`} · `), change.file === undefined ? capital(change.what)
        : element('button', { type: 'button', class: 'link', onclick: () => app.go(`file/${change.domain}/${change.file}`) }, change.what)),
      change.before && change.after ? difference(change.before, change.after) : null))))));
  return parts;
}

// Two contents, one over the other, with what differs marked.
function difference(before, after) {
  const marked = (own, other, kind) => {
    const pairs = own.match(/../g) || [];
    const shown = pairs.slice(0, 64);
    return element('div', { class: `octets ${kind}` }, element('span', { class: 'hidden' }, kind === 'was' ? 'before ' : 'after '),
      shown.map((pair, at) => element(pair === other.slice(2 * at, 2 * at + 2) ? 'span' : 'mark', {}, pair)), pairs.length > 64 && ' …');
  };
  return element('div', { class: 'difference' }, marked(before, after, 'was'), marked(after, before, 'is'));
}

const views = { card: cardView, domain: domainView, application: applicationView, file: fileView, memory: memoryView, faults: faultsView, history: historyView };

export function view(app, item) {
  return views[item.view](app, item).flat();
}
