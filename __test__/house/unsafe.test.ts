import test from 'ava';

import { filesBelow, readText } from '../support/tree.ts';

/** The most unsafe blocks and implementations. Fewer are welcome; more need a reason worth more than this number. */
const MOST_UNSAFE = 34;

interface Unsafe {
  readonly place: string;
  /** The comment above the block, on one line; empty where there is none. */
  readonly comment: string;
}

/** The blocks and implementations of a source that are marked as unsafe. */
function unsafeIn(path: string, text: string): readonly Unsafe[] {
  const lines = text.split('\n');
  return lines.flatMap((line, index) => {
    if (!/\bunsafe (?:\{|impl\b)/.test(line.replace(/\/\/.*/, ''))) return [];
    // The comment may stand above the statement of which the block is a part.
    const above = lines.slice(0, index + 1).toReversed();
    const start = above.findIndex((earlier) => earlier.trim().startsWith('//'));
    const block = start >= 0 && start <= 2 ? above.slice(start) : [];
    const end = block.findIndex((earlier) => !earlier.trim().startsWith('//'));
    const words = block.slice(0, end < 0 ? undefined : end).toReversed();
    const comment = words.map((word) => word.trim().replace(/^\/\/ ?/, '')).join(' ');
    return [{ place: `${path}:${index + 1}`, comment }];
  });
}

/** The places whose comments do not say both why the block is needed and why it is sound. */
function unexplained(found: readonly Unsafe[]): readonly string[] {
  const both = /SAFETY: needed .+\. It is sound because ./;
  return found.filter(({ comment }) => !both.test(comment)).map(({ place }) => place);
}

test('there is little unsafe Rust, and each part says why it is needed and why it is sound', (t) => {
  const found = filesBelow('crates', '.rs').flatMap((path) => unsafeIn(path, readText(path)));
  t.true(found.length > 5);
  t.true(found.length <= MOST_UNSAFE, found.map(({ place }) => place).join(' '));
  t.deepEqual(unexplained(found), []);
});

test('an unsafe block without either reason is found', (t) => {
  const source = (comment: string): readonly Unsafe[] =>
    unsafeIn('x.rs', `fn f() {\n${comment}\n    let a =\n        unsafe { g() };\n}\n`);
  const whole = '    // SAFETY: needed because of this,\n    // and that. It is sound because of these.';
  t.deepEqual(unexplained(source(whole)), []);
  for (const comment of [
    '',
    '    // SAFETY: needed because of this.',
    '    // SAFETY: it is sound because of these.',
  ]) {
    t.deepEqual(unexplained(source(comment)), ['x.rs:4'], comment);
  }
  t.deepEqual(unsafeIn('x.rs', '// unsafe { }\nunsafe impl Send for X {}'), [
    { place: 'x.rs:2', comment: 'unsafe { }' },
  ]);
});
