import test from 'ava';

import { filesBelow, readText } from '../support/tree.ts';
import { arrowsOf, offences } from './rust-arrows.ts';

/** The modules of the engine by floor, from the ground up. A module uses lower floors, and none on its own. */
const FLOORS = [
  ['pages', 'error', 'choices', 'cancel', 'arena', 'descriptor', 'userfaultfd'],
  ['file', 'socket'],
  ['memory', 'queue'],
  ['tuning', 'requests'],
  ['run'],
  ['transfer'],
  ['compare', 'digest'],
  ['lib'],
];

const SOURCE = 'crates/engine/src';

test('every module of the engine uses only modules below it', (t) => {
  const paths = filesBelow(SOURCE, '.rs');
  const files = new Map(paths.map((path) => [path.slice(SOURCE.length + 1), readText(path)]));
  t.true(arrowsOf(files).length > 50);
  t.deepEqual(offences(files, FLOORS), []);
});

/** The offences of a crate of three modules, of which the lowest has this text in one of its files. */
function found(text: string): readonly string[] {
  const files = new Map([
    ['lib.rs', 'pub mod low;\npub mod middle;\npub use middle::Thing;\nuse crate::high::Other;\n'],
    ['low/mod.rs', 'mod part;\n'],
    ['low/part.rs', text],
    ['middle.rs', 'use crate::low::Ground;\n#[cfg(test)]\nmod tests {\n    use super::Thing;\n}\n'],
    ['high.rs', 'use crate::{low::{Ground, part::Part}, middle};\n'],
  ]);
  return offences(files, [['low'], ['middle'], ['high'], ['lib']]);
}

test('an arrow that runs up is found, however it is written', (t) => {
  for (const text of [
    'use crate::high::Other;',
    'pub(crate) use crate::{\n    low::Ground,\n    high::{\n        Other,\n        Another,\n    },\n};',
    'use super::super::high::Other;',
    'fn other() -> Option<crate::high::Other> {\n    None\n}',
    '#[cfg(test)]\nmod tests {\n    use super::super::super::high;\n}',
  ]) {
    const [arrow, circle, ...rest] = found(text);
    t.is(arrow, 'low/part.rs: low uses high, which is not below it', text);
    t.regex(circle ?? '', /^a circle: .*low → high/, text);
    t.deepEqual(
      rest.filter((words) => !words.startsWith('a circle: ')),
      [],
      text,
    );
  }
});

test('what only looks like an arrow is none', (t) => {
  for (const text of [
    '// use crate::high::Other;\n/* crate::high::Other */\nconst WORDS: &str = "crate::high::Other";',
    'use super::Ground;\nuse self::inner::high;',
    '#[cfg(test)]\nmod tests {\n    use super::{high, Part};\n}',
    'use std::high::Other;',
  ]) {
    t.deepEqual(found(text), [], text);
  }
});

test('a module without a floor, a floor without a module, and a name of the root are found', (t) => {
  t.deepEqual(found('use crate::Thing;'), ['low/part.rs uses crate::Thing, which is no module']);
  const files = new Map([['new.rs', '']]);
  t.deepEqual(offences(files, [['old']]), ['new has no floor', 'old is no module']);
});
