/** Machines that have a type per version, and types of distributions: `pc-q35-rhel9.4.0`, `virt-noble`. */
const FAMILIES: readonly (readonly [type: RegExp, ids: readonly string[]])[] = [
  [/^(?:pc|q35)(?:-.+)?$/, ['pc.ram']],
  [/^pseries(?:-.+)?$/, ['ppc_spapr.ram']],
  [/^s390-ccw-virtio(?:-.+)?$/, ['s390.ram']],
  // Several architectures have a machine of this name. The file's blocks tell which one it is.
  [/^virt(?:-.+)?$/, ['mach-virt.ram', 'riscv_virt_board.ram', 'loongarch.ram', 'm68k_virt.ram']],
];

/** All other machines, by the id of their memory. A test compares them with the QEMUs that it finds. */
const MACHINES: readonly (readonly [id: string, machines: string])[] = [
  ['DDR', 'mps3-an524 mps3-an536 mps3-an547'],
  ['an5206.ram', 'an5206'],
  ['bpim2u.ram', 'bpim2u'],
  ['cubieboard.ram', 'cubieboard'],
  ['ddr', 'xlnx-versal-virt'],
  ['ddr-ram', 'xlnx-zcu102'],
  ['ext-sdram', 'gdbsim-r5f562n7 gdbsim-r5f562n8'],
  ['highbank.dram', 'highbank midway'],
  ['imx25.ram', 'imx25-pdk'],
  ['imx8mp-evk.ram', 'imx8mp-evk'],
  ['integrator.ram', 'integratorcp'],
  ['kzm.ram', 'kzm'],
  ['m68k_mac.ram', 'q800'],
  ['mcf5208.ram', 'mcf5208evb'],
  ['mcimx6ul-evk.ram', 'mcimx6ul-evk'],
  ['mcimx7d-sabre.ram', 'mcimx7d-sabre'],
  ['microchip.icicle.kit.ram', 'microchip-icicle-kit'],
  ['microvm.ram', 'microvm'],
  ['mpc8544ds.ram', 'mpc8544ds ppce500'],
  ['mps.ram', 'mps2-an385 mps2-an386 mps2-an500 mps2-an505 mps2-an511 mps2-an521'],
  ['musicpal.ram', 'musicpal'],
  ['next.ram', 'next-cube'],
  ['omap1.dram', 'sx1 sx1-v1'],
  ['orangepi.ram', 'orangepi-pc'],
  ['pc.ram', 'isapc'],
  ['pegasos2.ram', 'pegasos2'],
  ['pnv.ram', 'powernv10 powernv10-rainier powernv8 powernv9'],
  ['ppc4xx.sdram', 'bamboo sam460ex'],
  ['ppc_core99.ram', 'mac99'],
  ['ppc_heathrow.ram', 'g3beige'],
  [
    'ram',
    `
      B160L C3700 amigaone ast1030-evb ast2500-evb ast2600-evb ast2700a0-evb ast2700a1-evb bletchley-bmc
      canon-a1100 clipper fby35-bmc fp5280g2-bmc fuji-bmc g220a-bmc kudo-bmc mori-bmc none npcm750-evb
      npcm845-evb palmetto-bmc qcom-dc-scm-v1-bmc qcom-firework-bmc quanta-gbs-bmc quanta-gsj
      quanta-q71l-bmc rainier-bmc raspi0 raspi1ap raspi2b raspi3ap raspi3b raspi4b romulus-bmc
      sonorapass-bmc supermicro-x11spi-bmc supermicrox11-bmc tiogapass-bmc virtex-ml507 witherspoon-bmc
      yosemitev2-bmc`,
  ],
  ['riscv.lowrisc.ibex.ram', 'opentitan'],
  ['riscv.shakti.c.ram', 'shakti_c'],
  ['riscv.sifive.e.ram', 'sifive_e'],
  ['riscv.sifive.u.ram', 'sifive_u'],
  ['riscv.spike.ram', 'spike'],
  ['sabrelite.ram', 'sabrelite'],
  ['sbsa-ref.ram', 'sbsa-ref'],
  ['strongarm.sdram', 'collie'],
  ['versatile.ram', 'versatileab versatilepb'],
  ['vexpress.highmem', 'vexpress-a15 vexpress-a9'],
  ['zynq.ext_ram', 'xilinx-zynq-a9'],
];

/** Machines whose boards make their memory themselves, so that no memory backend can. */
const WITHOUT = `
  40p KIT_AURIX_TC277_TRB amd-microblaze-v-generic arduino-duemilanove arduino-mega arduino-mega-2560-v3
  arduino-uno b-l475e-iot01a emcraft-sf2 fby35 kc705 kc705-nommu lm3s6965evb lm3s811evb lx200 lx200-nommu
  lx60 lx60-nommu microbit ml605 ml605-nommu musca-a musca-b1 netduino2 netduinoplus2 nuri olimex-stm32-h405
  or1k-sim petalogix-ml605 petalogix-s3adsp1800 r2d realview-eb realview-eb-mpcore realview-pb-a8
  realview-pbx-a9 sim smdkc210 stm32vldiscovery tricore_testboard x-remote xlnx-zynqmp-pmu`;

const IDS: ReadonlyMap<string, readonly string[]> = new Map<string, readonly string[]>([
  ...MACHINES.flatMap(([id, machines]) => wordsOf(machines).map((machine) => [machine, [id]] as const)),
  ...wordsOf(WITHOUT).map((machine) => [machine, []] as const),
]);

/**
 * The ids of the block that `-m` alone makes on a machine of this type: several where architectures share the type's
 * name, none where the board makes its memory itself, undefined where the type is unknown. QEMU's `query-machines`
 * calls it `default-ram-id` (docs/format.md §2.7).
 */
export function defaultRamIds(machine: string): readonly string[] | undefined {
  return FAMILIES.find(([type]) => type.test(machine))?.[1] ?? IDS.get(machine);
}

/** Boards that write a device tree into RAM at every reset, also while QEMU waits for a guest (docs/format.md §4.2). */
const WRITERS = /^(?:pseries|powernv\d*|ppce500|mpc8544ds)(?:-.+)?$/;
/** Boards that have nothing in RAM while QEMU waits, whatever their options. */
const CLEAN = /^(?:pc|q35|microvm|virt)(?:-.+)?$/;

/** Tells whether a machine of this type writes into its RAM before a guest comes. */
export function writesRam(machine: string): boolean {
  return WRITERS.test(machine);
}

/** Tells whether a machine of this type might write into its RAM before a guest comes. */
export function mayWriteRam(machine: string): boolean {
  return !CLEAN.test(machine);
}

function wordsOf(text: string): readonly string[] {
  return text.trim().split(/\s+/);
}
