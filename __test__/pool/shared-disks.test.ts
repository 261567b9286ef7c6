import { link, writeFile } from 'node:fs/promises';

import test from 'ava';

import { refuseSharedDisks } from '../../ts/pool/shared-disks.ts';
import { parseCommandLine } from '../../ts/restore/command-line/options.ts';
import { temporaryDirectory } from '../support/temporary.ts';

function refuse(first: readonly string[], second: readonly string[] = first): void {
  refuseSharedDisks([parseCommandLine(first), parseCommandLine(second)], 'two guests');
}

const overlay = (n: number): readonly string[] => [
  '-drive',
  `file=/a/${n}.qcow2,backing.file.filename=/a/base.img`,
];

test('a disk that two guests would write to is named', (t) => {
  for (const args of [
    ['-drive', 'file=/a/disk.img,format=raw'],
    ['-drive', 'if=none,id=d,file.driver=file,file.filename=/a/disk.img'],
    ['-drive', 'file=/a/disk.img,snapshot=off,readonly=off'],
    ['-drive', 'if=pflash,file=/a/disk.img'],
    ['-blockdev', 'driver=file,node-name=f,filename=/a/disk.img'],
    ['-blockdev', '{"driver":"file","node-name":"f","filename":"/a/disk.img"}'],
    ['-blockdev', '{"driver":"qcow2","node-name":"q","file":{"driver":"file","filename":"/a/disk.img"}}'],
    ['-hda', '/a/disk.img'],
    ['-m', '2G', '/a/disk.img'],
  ]) {
    t.throws(
      () => refuse(args),
      { code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT', message: /same disk, \/a\/disk\.img: let args give each/ },
      args.join(' '),
    );
  }
});

test('what two guests can share, or do not share, is let through', (t) => {
  for (const args of [
    ['-drive', 'file=/a/disk.img,snapshot=on'],
    ['-drive', 'file=/a/disk.img,readonly=on'],
    ['-drive', 'file=/a/disk.img,file.locking=off'],
    ['-drive', 'file=/a/disk.iso,media=cdrom'],
    ['-cdrom', '/a/disk.iso'],
    ['-snapshot', '-hda', '/a/disk.img'],
    ['-drive', 'id=d,if=none,file=/a/disk.img', '-device', 'virtio-blk-pci,drive=d,share-rw=on'],
    ['-drive', 'file=nbd:host:10809'],
    ['-blockdev', '{"driver":"file","node-name":"f","filename":"/a/disk.img","read-only":true}'],
    ['-blockdev', 'driver=qcow2,node-name=q,file=f'],
    ['-machine', 'q35', '-m', '2G'],
  ]) {
    t.notThrows(() => refuse(args), args.join(' '));
  }
  t.notThrows(() => refuse(['-hda', '/a/0.img'], ['-hda', '/a/1.img']));
  t.notThrows(() => refuse(overlay(0), overlay(1)), 'nobody writes to what is behind an overlay');
});

test('a disk is the same under each of its names', async (t) => {
  await using dir = await temporaryDirectory();
  await writeFile(dir.file('disk'), '');
  await link(dir.file('disk'), dir.file('other'));
  t.throws(() => refuse(['-hda', dir.file('disk')], ['-hda', dir.file('other')]), { message: /same disk/ });
  t.throws(() => refuse(['-hda', 'no/disk'], ['-hda', './no/disk']), { message: /same disk/ });
});
