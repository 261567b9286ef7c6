/** One command line, to which `runCases` adds --json. */
export interface Case {
  readonly args: readonly string[];
  /** The values depend on the machine, so the test compares only the members' names. @default false */
  readonly namesOnly?: boolean;
}

/** Options that take the same way through the engine on every machine. */
const HOW = '--io-engine threads --direct-io off --channels 2';
const NO_MEMORY = 'no-such-directory/file';

/**
 * The cases by the snapshot that they are about. They run in this order in one directory that has the snapshots: a
 * command finds the files that those before it wrote.
 */
export const CASES: Readonly<Record<string, readonly Case[]>> = {
  'q35-stopped': cases(`
    info q35-stopped
    info q35-stopped --device cpu_common
    info q35-stopped --device virtio-net
    info q35-stopped --device no-such-device
    info q35-stopped --cpus
    verify q35-stopped ${HOW}
    verify q35-stopped --seal ${HOW}
    verify q35-stopped ${HOW}
    diff q35-stopped q35-stopped ${HOW}
    extract q35-stopped --format raw --block m1 -o m1.raw ${HOW}
    extract q35-stopped --format raw -o all.raw ${HOW}
    extract q35-stopped --format elf -o all.elf ${HOW}
    extract q35-stopped --format elf -o all.elf ${HOW}
    convert q35-stopped q35.stream --to stream
    info q35.stream
    convert q35.stream q35.mapped
    info q35.mapped
    convert q35-stopped file:q35.moved,offset=8K ${HOW}
    info file:q35.moved,offset=8K
    unpack q35-stopped --ram m0=m0.ram --state q35.state ${HOW}
    info q35.state`),
  'q35-live': cases(`
    info q35-live
    verify q35-live ${HOW}
    verify q35-live --seal-file q35-stopped.seal ${HOW}
    diff q35-stopped q35-live ${HOW}
    diff q35-stopped q35-live --ignore-device-state ${HOW}
    diff q35-live --ram m1=m1.raw ${HOW}`),
  'i440fx-multifd': cases(`
    info file:i440fx-multifd,offset=12288
    info i440fx-multifd
    info file:i440fx-multifd,offset=12288 --device rtc
    info file:i440fx-multifd,offset=12288 --cpus
    verify file:i440fx-multifd,offset=12288 ${HOW}
    extract file:i440fx-multifd,offset=12288 --format raw -o i440fx.raw --low-memory 3G ${HOW}
    convert file:i440fx-multifd,offset=12288 i440fx ${HOW}
    diff file:i440fx-multifd,offset=12288 i440fx ${HOW}
    diff i440fx q35-stopped ${HOW}`),
  microvm: cases(`
    info microvm
    info microvm --devices
    info microvm --cpus
    verify microvm ${HOW}
    extract microvm --format elf -o microvm.elf ${HOW}
    convert microvm microvm.stream --to stream --force
    diff microvm plain
    unpack microvm --ram microvm.ram=microvm.ram.raw ${HOW}
    unpack microvm --ram microvm.ram=microvm.ram.raw ${HOW}
    unpack microvm --ram no-such-block=none ${HOW}`),
  plain: cases(`
    info plain
    info plain --device timer
    verify plain ${HOW}
    convert plain plain.mapped --store-zero-pages all
    info plain.mapped
    diff microvm plain.mapped ${HOW}
    convert plain plain.mapped ${HOW}
    unpack plain --state plain.state
    extract plain --format raw -o plain.raw`),
  libvirt: cases(`
    info libvirt
    verify libvirt ${HOW}
    convert libvirt libvirt.mapped ${HOW}
    info libvirt.mapped
    extract libvirt --format elf -o libvirt.elf ${HOW}`),
  'aarch64-virt': cases(`
    info aarch64-virt
    info aarch64-virt --device pl011
    info aarch64-virt --cpus
    verify aarch64-virt ${HOW}
    extract aarch64-virt --format raw -o aarch64.raw ${HOW}
    extract aarch64-virt --format elf -o aarch64.elf ${HOW}`),
  cancelled: cases(`
    info cancelled
    info cancelled --devices
    verify cancelled ${HOW}
    convert cancelled other --to stream
    unpack cancelled --ram pc.ram=cancelled.ram ${HOW}
    unpack cancelled --ram pc.ram=cancelled.ram --ignore-device-state ${HOW}
    extract cancelled --format elf -o cancelled.elf ${HOW}
    diff cancelled cancelled ${HOW}
    diff cancelled cancelled --ignore-device-state ${HOW}`),
  pack: cases(`
    info state
    info state --device timer
    pack packed --state state --ram m0=memory ${HOW}
    info packed
    verify packed ${HOW}
    pack packed --state state --ram m0=memory ${HOW}
    pack file:packed-inside,offset=64K --state state --ram m0=memory --seal --store-zero-pages all ${HOW}
    verify file:packed-inside,offset=64K ${HOW}
    diff packed file:packed-inside,offset=64K ${HOW}
    diff packed --ram m0=memory ${HOW}
    diff packed --ram m0=m1.raw ${HOW}
    pack other --state state ${HOW}
    pack other --state microvm --ram m0=memory ${HOW}
    pack other --state state --ram m0=${NO_MEMORY} ${HOW}`),
  errors: cases(`
    info no-such-file
    info memory
    info file:microvm,offset=1
    info file:microvm,offset=x
    info microvm --no-such-option
    verify no-such-file --verbose
    extract microvm --format raw -o ${NO_MEMORY}
    convert memory other
    convert plain -
    save no-such-socket microvm
    save tcp:x microvm
    restore microvm
    restore microvm --qmp no-such-socket`),
  doctor: [{ args: ['doctor'], namesOnly: true }],
};

/** The demo's case. The demo's own tests run it: they look for leftovers of demos, so no demo may run beside them. */
export const DEMO: readonly Case[] = [{ args: ['demo', '--size', '64MiB'], namesOnly: true }];

function cases(text: string): readonly Case[] {
  return text
    .trim()
    .split('\n')
    .map((line) => ({ args: line.trim().split(' ') }));
}
