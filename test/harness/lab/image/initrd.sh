#!/bin/busybox sh
# The machines' first program: loads what the root disk needs and hands over. Quicker than Debian's own initrd.

/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
while read -r module; do
  insmod "/modules/$module"
done </modules/order
until [ -b /dev/vda ]; do usleep 10000; done
mount -t ext4 -o rw,noatime /dev/vda /root
mount --move /dev /root/dev
umount /sys /proc
exec switch_root /root /lib/systemd/systemd
