#!/bin/sh
# What makes one image into this or that machine, from the words on the kernel's command line: vbs.role, vbs.host, vbs.address
# (of the network between the machines) and vbs.key (who may log in). Runs before the SSH server.

word() { sed -n "s/.*\bvbs\.$1=\([^ ]*\).*/\1/p" /proc/cmdline; }

hostname "$(word host)"
mkdir -p /root/.ssh
echo "ssh-ed25519 $(word key)" >/root/.ssh/authorized_keys

ip link set lo up
ip address add 10.0.2.15/24 dev eth0
ip link set eth0 up
ip address add "$(word address)/24" dev eth1
ip link set eth1 up

case "$(word role)" in
volume-server)
  modprobe -a target_core_mod target_core_iblock iscsi_target_mod dm_thin_pool dm_snapshot
  mountpoint -q /sys/kernel/config || mount -t configfs configfs /sys/kernel/config
  ;;
xen)
  echo "InitiatorName=iqn.1993-08.org.debian:01:$(word host)" >/etc/iscsi/initiatorname.iscsi
  modprobe -a xen-evtchn xen-gntdev xen-privcmd xen-blkback iscsi_tcp
  ;;
libvirt)
  echo "InitiatorName=iqn.1993-08.org.debian:01:$(word host)" >/etc/iscsi/initiatorname.iscsi
  modprobe iscsi_tcp
  ;;
esac
