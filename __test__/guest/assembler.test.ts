import test from 'ava';

import { Assembler } from '../../ts/guest/assembler.ts';

const code = { code: 'ERR_MAPPED_RAM_INTERNAL' };

test('words are little-endian and follow their opcode', (t) => {
  t.deepEqual(
    [...new Assembler(0).emit32(0x9e3779b1, 0x69, 0xc0).assemble()],
    [0x69, 0xc0, 0xb1, 0x79, 0x37, 0x9e],
  );
});

test('relative labels count from the end of the instruction, in both directions', (t) => {
  const image = new Assembler(0x7c00)
    .label('back')
    .emit(0x90)
    .short('back', 0xeb)
    .short('ahead', 0xeb)
    .near('back', 0xe8)
    .label('ahead')
    .assemble();
  t.deepEqual([...image], [0x90, 0xeb, 0xfd, 0xeb, 0x05, 0xe8, 0xf6, 0xff, 0xff, 0xff]);
});

test('absolute labels include the origin', (t) => {
  const image = new Assembler(0x7c00)
    .address16('here', 0xea)
    .address32('here', 0xa1)
    .label('here')
    .assemble();
  t.deepEqual([...image], [0xea, 0x08, 0x7c, 0xa1, 0x08, 0x7c, 0, 0]);
});

test('a short jump reaches 127 bytes and no further', (t) => {
  t.is(jumpOver(127)[1], 127);
  t.throws(() => jumpOver(128), { ...code, message: /too far/ });
});

test('unknown and repeated labels are refused', (t) => {
  t.throws(() => new Assembler(0).near('nowhere', 0xe8).assemble(), {
    ...code,
    message: /nowhere is not defined/,
  });
  t.throws(() => new Assembler(0).label('twice').label('twice'), {
    ...code,
    message: /twice is defined twice/,
  });
});

test('padding never overwrites code', (t) => {
  t.is(new Assembler(0).emit(1, 2).padTo(2).padTo(5).assemble().length, 5);
  t.throws(() => new Assembler(0).emit(1, 2, 3).padTo(2), code);
});

function jumpOver(bytes: number): Uint8Array {
  const asm = new Assembler(0).short('end', 0xeb).padTo(2 + bytes);
  return asm.label('end').assemble();
}
