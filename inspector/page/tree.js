// The card as a tree, as ARIA has it: one item of it can be reached by Tab, arrows go from item to item.

import { byId, element } from './element.js';

const open = new Set();
let selected = 'card';
let choose = () => {};
let roots = [];
const glyphs = { card: 'M4 2h6l4 4v8H4z', euicc: 'M4 4h8v8H4zM2 6h2M2 10h2M12 6h2M12 10h2M6 2v2M10 2v2M6 12v2M10 12v2', profile: 'M3 3h10v10H3zM6 6h4v4H6z', folder: 'M2 4h4l2 2h6v7H2z', file: 'M4 2h5l3 3v9H4zM9 2v3h3', memory: 'M2 5h12v6H2zM5 5v6M8 5v6M11 5v6', fault: 'M9 1L4 9h3l-1 6 6-9H8z', history: 'M8 3a5 5 0 1 1-5 5M3 3v3h3M8 5v3l2 2', application: 'M3 3h4v4H3zM9 3h4v4H9zM3 9h4v4H3zM9 9h4v4H9z' };

export function glyph(kind) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.setAttribute('viewBox', '0 0 16 16');
  svg.setAttribute('class', `glyph is-${kind}`);
  svg.setAttribute('aria-hidden', 'true');
  const path = document.createElementNS('http://www.w3.org/2000/svg', 'path');
  path.setAttribute('d', glyphs[kind] || glyphs.file);
  svg.append(path);
  return svg;
}

function fileItem(domain, file) {
  const isDirectory = ['MF', 'DF', 'ADF'].includes(file.kind);
  return {
    id: `file/${domain.number}/${file.number}`, kind: isDirectory ? 'folder' : 'file',
    label: file.name || file.identifier, hint: file.name && file.identifier.length < 6 ? file.identifier : '', view: 'file', domain, file,
    children: file.files.map(below => fileItem(domain, below)),
  };
}

function domainItem(card, domain) {
  const profile = (card.euicc?.profiles || []).find(one => domain.iccid && one.iccid === domain.iccid);
  const bare = domain.applications.filter(application => !application.has_files);
  const children = domain.files.map(file => fileItem(domain, file)).concat(bare.map((application, at) => ({
    id: `application/${domain.number}/${at}`, kind: 'application', label: application.name || application.aid, hint: '', view: 'application', domain, application, children: [],
  })));
  return {
    id: `domain/${domain.number}`, kind: profile ? 'profile' : 'euicc', label: domain.title || `Domain ${domain.number}`,
    state: profile && (profile.enabled ? 'enabled' : 'disabled'), hint: '', view: 'domain', domain, profile, children,
  };
}

export function items(card) {
  const list = [{ id: 'card', kind: 'card', label: card.name, hint: card.card_type, view: 'card', children: [] }];
  list.push({ id: 'memory', kind: 'memory', label: 'Memory', hint: '', view: 'memory', children: [] });
  list.push({ id: 'faults', kind: 'fault', label: 'Faults', hint: card.faults?.length ? String(card.faults.length) : '', view: 'faults', children: [] });
  list.push({ id: 'history', kind: 'history', label: 'Changes', hint: '', view: 'history', children: [] });
  // What a browser shows first is what there is most to see of: the enabled profile.
  const domains = card.domains.map(domain => domainItem(card, domain));
  // Profiles of one name are told apart by the ends of their ICCIDs.
  for (const item of domains.filter(one => one.profile)) {
    if (domains.some(other => other !== item && other.label === item.label)) item.domain.tail = item.tail = `…${item.profile.iccid.slice(-4)}`;
  }
  list.push(...domains.filter(item => item.profile), ...domains.filter(item => !item.profile));
  return list;
}

export function find(id, list = roots) {
  for (const item of list) {
    const found = item.id === id ? item : find(id, item.children);
    if (found) return found;
  }
  return null;
}

function wayTo(id, list = roots, way = []) {
  for (const item of list) {
    if (item.id === id) return way;
    const found = wayTo(id, item.children, [...way, item]);
    if (found) return found;
  }
  return null;
}

function matches(item, wanted) {
  const text = `${item.label} ${item.hint} ${item.file?.identifier || ''}`.toLowerCase();
  return !wanted || text.includes(wanted) || item.children.some(child => matches(child, wanted));
}

function row(item, level, wanted, position, count) {
  const isOpen = wanted ? item.children.some(child => matches(child, wanted)) : open.has(item.id);
  const has = item.children.length > 0;
  const children = item.children.filter(child => matches(child, wanted));
  const id = `item-${item.id.replaceAll('/', '-')}`;
  const line = element('div', { class: 'line', id: `${id}-label`, onclick: event => {
    if (event.target.closest('.twist')) toggle(item);
    else select(item.id, true);
  }, ondblclick: () => toggle(item) },
    element('span', { class: has ? 'twist' : 'twist none', 'aria-hidden': 'true' }),
    glyph(item.kind), element('span', { class: 'label' }, item.label), item.tail && element('span', { class: 'tail' }, item.tail),
    item.state && element('span', { class: `state ${item.state === 'enabled' ? 'good' : 'over'}` }, item.state),
    item.hint && element('span', { class: 'hint' }, item.hint));
  line.style.setProperty('--level', level - 1);
  return element('div', {
    role: 'treeitem', id, class: 'item', 'data-id': item.id, 'data-label': item.label, 'aria-level': String(level), 'aria-posinset': String(position), 'aria-setsize': String(count),
    'aria-expanded': has ? String(isOpen) : null, 'aria-selected': String(item.id === selected), 'aria-labelledby': `${id}-label`,
    tabindex: item.id === selected ? '0' : '-1',
  }, line, has && isOpen && element('div', { role: 'group' }, children.map((child, at) => row(child, level + 1, wanted, at + 1, children.length))));
}

export function draw() {
  const tree = byId('tree');
  const hadFocus = tree.contains(document.activeElement);
  const wanted = byId('filter').value.trim().toLowerCase();
  const shown = roots.filter(item => matches(item, wanted));
  tree.replaceChildren(...shown.map((item, at) => row(item, 1, wanted, at + 1, shown.length)));
  byId('no-match').hidden = shown.length > 0 || !roots.length;
  tree.hidden = shown.length === 0;
  let current = tree.querySelector('[tabindex="0"]');
  if (!current) {
    current = tree.querySelector('[role=treeitem]');
    current?.setAttribute('tabindex', '0');
  }
  if (hadFocus) current?.focus({ preventScroll: true });
}

function toggle(item) {
  if (!item.children.length) return;
  if (!open.delete(item.id)) open.add(item.id);
  draw();
}

export function select(id, isShown) {
  if (!find(id)) return;
  selected = id;
  for (const above of wayTo(id) || []) open.add(above.id);
  draw();
  const item = byId('tree').querySelector('[aria-selected=true]');
  item?.firstChild.scrollIntoView({ block: 'nearest' });
  if (isShown) {
    item?.focus({ preventScroll: true });
    choose(find(id));
  }
}

export const current = () => find(selected);

export function show(card, chosen) {
  const isFirst = roots.length === 0;
  choose = chosen;
  roots = items(card);
  if (isFirst) {
    const enabled = roots.find(item => item.profile?.enabled) || roots.find(item => item.kind === 'euicc');
    if (enabled) open.add(enabled.id);
  }
  if (!find(selected)) selected = 'card';
  draw();
}

export function focus() {
  byId('tree').querySelector('[tabindex="0"]')?.focus();
}

function keys(event) {
  const tree = byId('tree');
  const visible = [...tree.querySelectorAll('[role=treeitem]')];
  const at = visible.indexOf(document.activeElement);
  if (at < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
  const item = find(visible[at].dataset.id);
  const go = to => to && select(to.dataset.id, true);
  const parent = visible[at].parentElement.closest('[role=treeitem]');
  const isOpen = visible[at].getAttribute('aria-expanded') === 'true';
  if (event.key === 'ArrowDown') go(visible[at + 1]);
  else if (event.key === 'ArrowUp') go(visible[at - 1]);
  else if (event.key === 'ArrowRight') { if (item.children.length && !isOpen) toggle(item); else if (isOpen) go(visible[at + 1]); }
  else if (event.key === 'ArrowLeft') { if (isOpen && !byId('filter').value) toggle(item); else go(parent); }
  else if (event.key === 'Home') go(visible[0]);
  else if (event.key === 'End') go(visible.at(-1));
  else if (event.key === 'Enter') { select(item.id, true); byId('detail').focus(); }
  else if (event.key === ' ') toggle(item);
  else if (event.key === '*') { const siblings = parent ? find(parent.dataset.id).children : roots; siblings.forEach(one => one.children.length && open.add(one.id)); draw(); }
  else if (event.key.length === 1 && /[a-z]/i.test(event.key)) {
    const starts = one => (find(one.dataset.id).label.replace(/^EF\.|^DF\.|^ADF\./, '').toLowerCase()).startsWith(event.key.toLowerCase());
    go([...visible.slice(at + 1), ...visible.slice(0, at)].find(starts));
  } else return;
  event.preventDefault();
  event.stopPropagation();
}

export function begin() {
  byId('tree').addEventListener('keydown', keys);
  byId('filter').addEventListener('input', draw);
  byId('filter').addEventListener('keydown', event => {
    if (event.key === 'ArrowDown' || event.key === 'Enter') { event.preventDefault(); focus(); }
    if (event.key === 'Escape') { event.target.value = ''; draw(); focus(); }
  });
}
