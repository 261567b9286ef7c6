/** A guest with many devices, as QEMU arguments. DIR is a directory with raw images `disk0` to `disk7`. */
export interface DeviceSetup {
  readonly title: string;
  readonly args: readonly string[];
  /** Sections that must be there. */
  readonly devices: readonly string[];
}

function words(text: string): readonly string[] {
  return text.trim().split(/\s+/);
}

const VIRTIO = words(`
  -drive if=none,id=d0,file=DIR/disk0,format=raw
  -device virtio-net-pci -device virtio-blk-pci,drive=d0,num-queues=2 -device virtio-scsi-pci
  -device virtio-gpu-pci,max_outputs=2 -device virtio-rng-pci -device virtio-balloon-pci
  -device virtio-serial-pci -device virtio-keyboard-pci -device virtio-iommu-pci
  -m 64M,maxmem=1G,slots=2 -object memory-backend-ram,id=more,size=128M
  -device virtio-mem-pci,id=vm0,memdev=more,requested-size=64M`);

const USB = words(`
  -drive if=none,id=d1,file=DIR/disk1,format=raw -device qemu-xhci,id=xhci -device usb-tablet,bus=xhci.0
  -device usb-kbd,bus=xhci.0 -device usb-hub,bus=xhci.0 -device usb-ehci,id=ehci -device usb-storage,drive=d1,bus=ehci.0
  -device piix3-usb-uhci -device pci-ohci`);

const OTHERS = words(`
  -drive if=none,id=d2,file=DIR/disk2,format=raw -drive if=none,id=d3,file=DIR/disk3,format=raw
  -drive if=none,id=d4,file=DIR/disk4,format=raw -audiodev none,id=sound
  -device VGA -device e1000 -device e1000e -device rtl8139 -device vmxnet3 -device pcnet -device intel-hda
  -device hda-duplex,audiodev=sound -device AC97,audiodev=sound -device megasas -device lsi53c895a,id=lsi
  -device scsi-hd,drive=d2,bus=lsi.0 -device sdhci-pci -device sd-card,drive=d3 -device ahci,id=ahci
  -device ide-hd,drive=d4,bus=ahci.0 -device i6300esb -device vmgenid -serial null -parallel null`);

const IPMI = words(
  '-device ipmi-bmc-sim,id=bmc -device isa-ipmi-kcs,bmc=bmc -device isa-debugcon,chardev=debug',
);
const DEBUG = words('-chardev null,id=debug');

export const X86_SETUPS: readonly DeviceSetup[] = [
  {
    title: 'a q35 with many devices',
    args: words('-machine q35 -smp 3 -cpu max').concat(VIRTIO, USB, OTHERS, DEBUG, IPMI),
    devices: [
      'virtio-net',
      'virtio-blk',
      'virtio-gpu',
      'virtio-mem',
      'virtio-mem-device-early',
      'xhci',
      'vga',
      'ich9_ahci',
    ],
  },
  {
    title: 'an i440fx with many devices and flash',
    args: words('-machine pc -smp 2 -drive if=pflash,format=raw,file=DIR/disk5').concat(
      VIRTIO,
      USB,
      OTHERS,
      DEBUG,
      IPMI,
    ),
    devices: ['virtio-net', 'virtio-mem', 'xhci', 'vga', 'ide', 'piix4_pm', 'pflash_cfi01'],
  },
  {
    title: 'an i440fx as of QEMU 6.2',
    args: words('-machine pc-i440fx-6.2 -smp 2 -device VGA -device virtio-net-pci'),
    devices: ['virtio-net', 'vga', 'fdc'],
  },
  {
    title: 'a q35 behind bridges',
    args: words(`-machine q35 -device pcie-root-port,id=rp,chassis=1 -device virtio-net-pci,bus=rp
      -device pcie-pci-bridge,id=br -device tulip,bus=br,addr=1 -device ne2k_pci,bus=br,addr=2 -device intel-iommu`),
    devices: ['pcie-root-port', 'virtio-net', 'tulip', 'iommu-intel'],
  },
  {
    title: 'a microvm',
    args: words(`-machine microvm -m 64 -drive if=none,id=d0,file=DIR/disk0,format=raw -device virtio-blk-device,drive=d0
      -device virtio-net-device -device virtio-serial-device -device virtio-gpu-device -serial null`),
    devices: ['virtio-blk', 'virtio-net', 'virtio-gpu'],
  },
];

export const AARCH64_SETUPS: readonly DeviceSetup[] = [
  {
    title: 'an aarch64 virt with all that its CPU can',
    args: words('-machine virt -cpu max -smp 2 -serial null'),
    devices: ['cpu', 'arm_gic', 'pl011'],
  },
  {
    title: 'an aarch64 virt with many devices',
    args: words(`-machine virt,gic-version=3,iommu=smmuv3,virtualization=on -cpu cortex-a57 -serial null
      -drive if=pflash,format=raw,file=DIR/flash0 -drive if=pflash,format=raw,file=DIR/flash1
      -drive if=none,id=d0,file=DIR/disk0,format=raw -device virtio-net-pci,romfile= -device virtio-blk-pci,drive=d0
      -device virtio-gpu-pci -device virtio-rng-device -device qemu-xhci -device usb-kbd -device usb-tablet`),
    devices: ['cpu', 'arm_gicv3', 'pflash_cfi01', 'virtio-net', 'virtio-gpu', 'xhci'],
  },
];
