/** Arguments that let QEMU start a device that does not start alone. */
export interface DeviceRecipe {
  /** Arguments before the device's own. */
  readonly before: readonly string[];
  /** Further members of `-device`. */
  readonly members: string;
}

const words = (text: string): readonly string[] => text.trim().split(/\s+/);

const DRIVE = '-blockdev null-co,node-name=drive,size=1048576,read-zeroes=on';
const SLOTS = '-m slots=4,maxmem=1G';
const MEMORY = 'memory-backend-ram,id=more,size=16M';
/** DIR stands for a directory of the guest's own. */
const SHARED_FILE = 'memory-backend-file,id=more,size=16M,mem-path=DIR/more,share=on';
const BUSES = [
  '-device qemu-xhci',
  '-device virtio-scsi-pci',
  '-device virtio-serial-pci',
  '-device sdhci-pci',
  '-device nvme,serial=walk',
  '-device isa-fdc,id=fdc',
  '-device qemu-xhci -device usb-ccid',
];

/** Ways to start a device, the simplest first. The first with which QEMU starts is the device's. */
export const RECIPES: readonly DeviceRecipe[] = [
  recipe('', ''),
  recipe('-audiodev none,id=sound', 'audiodev=sound'),
  ...BUSES.map((bus) => recipe(bus, '')),
  recipe(DRIVE, 'drive=drive'),
  recipe(DRIVE, 'drive=drive,serial=walk'),
  ...BUSES.map((bus) => recipe(`${bus} ${DRIVE}`, 'drive=drive')),
  recipe('-chardev null,id=null', 'chardev=null'),
  ...BUSES.map((bus) => recipe(`${bus} -chardev null,id=null`, 'chardev=null')),
  recipe('-device qemu-xhci -audiodev none,id=sound', 'audiodev=sound'),
  recipe('-device qemu-xhci -netdev user,id=more', 'netdev=more'),
  recipe('', 'serial=walk'),
  recipe('-device intel-hda -audiodev none,id=sound', 'audiodev=sound'),
  recipe('-device ipmi-bmc-sim,id=bmc', 'bmc=bmc'),
  recipe('-object can-bus,id=can', 'canbus=can'),
  recipe('-object can-bus,id=can', 'canbus0=can'),
  recipe('-object cryptodev-backend-builtin,id=crypto', 'cryptodev=crypto'),
  // A peer of shared memory is not saved, its master is.
  recipe(`-object ${MEMORY}`, 'memdev=more,master=on'),
  recipe(`${SLOTS} -object ${MEMORY}`, 'memdev=more'),
  recipe(`-M nvdimm=on ${SLOTS} -object ${SHARED_FILE}`, 'memdev=more'),
  recipe(`-object ${SHARED_FILE}`, 'memdev=more'),
];

function recipe(before: string, members: string): DeviceRecipe {
  return { before: before === '' ? [] : words(before), members };
}
