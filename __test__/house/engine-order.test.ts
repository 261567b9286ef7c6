import test from 'ava';

import { filesBelow, readText } from '../support/tree.ts';
import { arrowsInRooms, arrowsOf, offences } from './rust-arrows.ts';

/** The modules of the engine by floor, from the ground up. A module uses lower floors, and none on its own. */
const FLOORS = [
  ['pages', 'error', 'choices', 'cancel', 'mapping', 'descriptor', 'userfaultfd'],
  ['arena'],
  ['file', 'socket'],
  ['process'],
  ['memory', 'queue'],
  ['tuning', 'requests'],
  ['run'],
  ['transfer'],
  ['compare', 'digest', 'counted'],
  ['lib'],
];

const SOURCE = 'crates/engine/src';

test('every module of the engine uses only modules below it', (t) => {
  const paths = filesBelow(SOURCE, '.rs');
  const files = new Map(paths.map((path) => [path.slice(SOURCE.length + 1), readText(path)]));
  t.true(arrowsOf(files).length > 50);
  t.true(arrowsInRooms(files).length > 50);
  t.deepEqual(offences(files, FLOORS), []);
});

/** The offences of a crate of one folder with two files. */
function offencesOf(one: string, two: string): readonly string[] {
  const files = new Map([
    ['lib.rs', 'mod room;\n'],
    ['room/mod.rs', 'mod one;\nmod two;\npub(crate) use two::Two as Second;\npub(crate) struct Ground;\n'],
    ['room/one.rs', one],
    ['room/two.rs', two],
  ]);
  return offences(files, [['room'], ['lib']]);
}

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
    'use crate::{\n    // why\n    high::Other,\n};',
    'use crate::{/* why */ high /* and why */::Other};',
    'use crate ::high::Other;',
    'use crate\n    :: high;',
    'use mapped_ram_engine::high::Other;',
    'use ::mapped_ram_engine::{high as low};',
    'const ALL: &str = r"\\"; use crate::high::Other; // "',
    'const ALL: &str = r#"""#; use crate::high::Other; // "',
    'const ALL: &[u8] = br"\\"; use crate::high::Other; // "',
    'const QUOTE: char = \'"\'; use crate::high::Other; // "',
    "fn f<'a>(x: &'a str) -> &'a str { crate::high::g(x, '\\'') }",
    '/* a /* nested */ comment */ use crate::high::Other;',
    'fn all() -> Vec<u8> {\n    (0..crate::high::SIZE).collect()\n}',
    'use crate::high::*;',
    'use crate::{high};',
    'macro_rules! other {\n    () => {\n        $crate::high::Other\n    };\n}',
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
    '/* a /* nested */ use crate::high::Other; */',
    'const ALL: &str = r#"" use crate::high::Other; "#;',
    'const ALL: &str = "\\" use crate::high::Other;";',
    'pub(crate) fn f(&self) {}\npub(super) fn g(self) {}\npub(in crate::low) fn h() {}',
  ]) {
    t.deepEqual(found(text), [], text);
  }
});

test('a module without a floor, a floor without a module, and a name of the root are found', (t) => {
  t.deepEqual(found('use crate::Thing;'), ['low/part.rs uses crate::Thing, which is no module']);
  const files = new Map([['new.rs', '']]);
  t.deepEqual(offences(files, [['old']]), ['new has no floor', 'old is no module']);
});

test('a way past the paths of modules is found', (t) => {
  const root = 'low/part.rs uses crate::lib, which is no module';
  for (const text of [
    'use crate as root;',
    'use crate::{self as root};',
    'use super::super as root;',
    'use mapped_ram_engine as engine;',
  ]) {
    t.is(found(text)[0], root, text);
  }
  t.deepEqual(found('use crate::*;'), ['low/part.rs uses crate::*, which is no module']);
  t.true(found('extern crate self as root;').includes('low/part.rs uses extern crate'));
  t.deepEqual(found('#[path = "../high.rs"]\nmod other;'), ['low/part.rs uses #[path]']);
  t.deepEqual(found('#[cfg_attr(unix, path = "../high.rs")]\nmod other;'), ['low/part.rs uses #[path]']);
  t.deepEqual(found('include!("../high.rs");'), ['low/part.rs uses include!']);
});

test('a circle of files within a module is found, by way of the names that the module hands on, too', (t) => {
  const circle = ['a circle: room/two.rs → room/one.rs → room/two.rs'];
  for (const one of [
    'use super::two::Two;',
    'use super::Second;',
    'use crate::room::Second;',
    'fn f() {\n    super::two::f();\n}',
  ]) {
    t.deepEqual(offencesOf(one, 'use super::one::One;'), circle, one);
    t.deepEqual(offencesOf(one, 'use super::Ground;'), [], one);
  }
  t.deepEqual(offencesOf('use super::Ground;', 'use super::one::One;'), []);
});
