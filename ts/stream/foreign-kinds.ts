/** A kind of file that people take for a saved guest, and that is no migration stream. */
interface ForeignKind {
  /** The kind in words, with its article. */
  readonly name: string;
  /** The bytes that tell it, each run at its place. */
  readonly marks: readonly (readonly [offset: number, bytes: string])[];
  /** What helps, in words. */
  readonly help: string;
}

/** Bytes from the beginning of a file that are enough to tell its kind. */
export const FOREIGN_HEAD_BYTES = 520;

/** A mapped-ram file cannot be read out of a pipe, and nobody knows yet what the file holds. */
const unpacked = (command: string): string =>
  `decompress it first: ${command} FILE > OUT; a plain stream can also go through a pipe: ${command} FILE | mapped-ram convert - OUT`;
const DISK = "it holds a guest's disk, and is given to QEMU as a drive";
const CORE = 'it is for gdb and crash; QEMU cannot go on from it';
const OTHER = 'QEMU cannot load it';

/** Kinds by their first bytes. A text is Latin-1; the more a kind demands, the earlier it stands. */
const KINDS: readonly ForeignKind[] = [
  { name: 'a zstd file', marks: [[0, '\x28\xb5\x2f\xfd']], help: unpacked('zstd -dc') },
  { name: 'a gzip file', marks: [[0, '\x1f\x8b\x08']], help: unpacked('gzip -dc') },
  { name: 'an xz file', marks: [[0, '\xfd7zXZ\0']], help: unpacked('xz -dc') },
  { name: 'an lz4 file', marks: [[0, '\x04\x22\x4d\x18']], help: unpacked('lz4 -dc') },
  { name: 'an lz4 file', marks: [[0, '\x02\x21\x4c\x18']], help: unpacked('lz4 -dc') },
  { name: 'an lzop file', marks: [[0, '\x89LZO\0\r\n\x1a\n']], help: unpacked('lzop -dc') },
  {
    name: 'an lzma file',
    marks: [
      [0, '\x5d\0\0'],
      [5, '\xff\xff\xff\xff\xff\xff\xff\xff'],
    ],
    help: unpacked('xz -dc'),
  },
  {
    name: 'a bzip2 file',
    marks: [
      [0, 'BZh'],
      [4, '1AY&SY'],
    ],
    help: unpacked('bzip2 -dc'),
  },
  { name: 'a zip archive', marks: [[0, 'PK\x03\x04']], help: 'take the snapshot out of it first' },
  { name: 'a tar archive', marks: [[257, 'ustar']], help: 'take the snapshot out of it first' },
  {
    name: 'an ELF core',
    marks: [
      [0, '\x7fELF'],
      [16, '\x04\0'],
    ],
    help: CORE,
  },
  {
    name: 'an ELF core',
    marks: [
      [0, '\x7fELF\x02\x02'],
      [16, '\0\x04'],
    ],
    help: CORE,
  },
  { name: 'an ELF file', marks: [[0, '\x7fELF']], help: OTHER },
  { name: 'a kdump core', marks: [[0, 'KDUMP   ']], help: CORE },
  { name: 'a flattened kdump core', marks: [[0, 'makedumpfile\0']], help: CORE },
  { name: 'a LiME memory dump', marks: [[0, 'EMiL']], help: OTHER },
  { name: 'a Windows crash dump', marks: [[0, 'PAGEDU64']], help: OTHER },
  { name: 'a Windows crash dump', marks: [[0, 'PAGEDUMP']], help: OTHER },
  {
    name: 'a qcow2 image',
    marks: [[0, 'QFI\xfb']],
    help: `${DISK}; snapshots inside it (qemu-img snapshot -l) are loaded with -loadvm`,
  },
  { name: 'a qed image', marks: [[0, 'QED\0']], help: DISK },
  { name: 'a vmdk image', marks: [[0, 'KDMV']], help: DISK },
  { name: 'a vmdk image', marks: [[0, 'COWD']], help: DISK },
  { name: 'a vmdk description', marks: [[0, '# Disk DescriptorFile']], help: DISK },
  { name: 'a vdi image', marks: [[64, '\x7f\x10\xda\xbe']], help: DISK },
  { name: 'a vhdx image', marks: [[0, 'vhdxfile']], help: DISK },
  { name: 'a vpc image', marks: [[0, 'conectix']], help: DISK },
  { name: 'a LUKS volume', marks: [[0, 'LUKS\xba\xbe']], help: 'open it first: cryptsetup open' },
  { name: 'a Proxmox backup (vma)', marks: [[0, 'VMA\0']], help: 'vma extract takes it apart' },
  { name: 'a Firecracker state of x86-64', marks: [[0, '\0\0\x64\x86\x84\x19\x10\x07']], help: OTHER },
  { name: 'a Firecracker state of aarch64', marks: [[0, '\0\0\xaa\xaa\x84\x19\x10\x07']], help: OTHER },
  { name: 'a VirtualBox saved state', marks: [[0, '\x7fVirtualBox SavedState V']], help: OTHER },
  { name: 'a VMware suspended state', marks: [[0, '\xd0\xbe\xd2\xbe']], help: OTHER },
  { name: 'a VMware suspended state', marks: [[0, '\xd1\xba\xd1\xba']], help: OTHER },
  { name: 'a VMware suspended state', marks: [[0, '\xd2\xbe\xd2\xbe']], help: OTHER },
  { name: 'a VMware suspended state', marks: [[0, '\xd3\xbe\xd3\xbe']], help: OTHER },
  { name: 'a Xen saved domain', marks: [[0, 'Xen saved domain']], help: OTHER },
  { name: 'a Xen saved domain', marks: [[0, 'LinuxGuestRecord']], help: OTHER },
  { name: 'a libvirt save image', marks: [[0, 'LibvirtQemudSave']], help: 'leave the offset out' },
  { name: 'a seal of a snapshot', marks: [[0, 'MRAMSEAL']], help: 'name the snapshot itself' },
  {
    name: 'a disk with a partition table (GPT)',
    marks: [
      [510, '\x55\xaa'],
      [512, 'EFI PART'],
    ],
    help: DISK,
  },
  { name: 'a disk with a boot sector (MBR)', marks: [[510, '\x55\xaa']], help: DISK },
];

/**
 * Tells a file that is no migration stream by its first bytes.
 * @param head at least `FOREIGN_HEAD_BYTES` where the file has as many
 * @returns undefined for a kind that is not known
 */
export function foreignKind(head: Uint8Array): Pick<ForeignKind, 'name' | 'help'> | undefined {
  return KINDS.find(({ marks }) => marks.every(([offset, bytes]) => hasAt(head, offset, bytes)));
}

function hasAt(head: Uint8Array, offset: number, bytes: string): boolean {
  if (head.length < offset + bytes.length) return false;
  for (let index = 0; index < bytes.length; index += 1) {
    if (head[offset + index] !== bytes.charCodeAt(index)) return false;
  }
  return true;
}
