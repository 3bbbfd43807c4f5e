#!/bin/sh
# box.sh DIRECTORY COMMAND ...
#
# The first process of a box: gives it what is its own, runs the command, and ends with it. Orphans fall to this shell, which hears of their end while it waits.
set -eu
dir=$1
shift

# Whatever runs leaves its sockets, locks and namespaces in /run; kubelet and the CNI plugins write to the others whatever they are told.
mount -t tmpfs -o mode=755 tmpfs /run
mkdir /run/lock
for place in /var/log /var/lib/cni; do
  mkdir -p "$dir/box$place" "$place"
  mount --bind "$dir/box$place" "$place"
done

# Kubelet demands these settings of the kernel, and would give them to the whole machine.
while read -r name value; do
  own=$dir/box/$(basename "$name")
  echo "$value" >"$own"
  mount --bind "$own" "/proc/sys/$name"
done <<END
vm/overcommit_memory 1
vm/panic_on_oom 0
kernel/panic 10
kernel/panic_on_oops 1
kernel/keys/root_maxkeys 1000000
kernel/keys/root_maxbytes 25000000
END

# The addresses in addresses.ts: of the node, and of the Service `kubernetes`.
ip link set lo up
ip address add 10.97.0.1/32 dev lo
ip address add 10.96.0.1/32 dev lo

"$@" &
wait $!
