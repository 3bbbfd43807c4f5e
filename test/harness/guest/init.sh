#!/bin/sh
# The whole guest: loads its drivers, then answers commands on its second serial port, or on the line that "vbs.line=hvc0" on
# its command line names.
#
#   host:   one line "RUN id length", then base64 of that many characters
#   guest:  one line "@id exit-code base64-of-stdout-and-stderr"
#
# Each command runs by itself in the background, so that one that hangs on a disk
# does not keep the others from being answered.

start() {
  /bin/busybox --install -s /bin
  export PATH=/bin
  mount -t proc proc /proc
  mount -t sysfs sysfs /sys
  mount -t devtmpfs devtmpfs /dev
  echo 1 >/proc/sys/kernel/printk
  while read -r module; do
    insmod "/modules/$module"
  done </modules/order
  # With "vbs.probe" on its command line it only shows that it can boot here.
  if grep -q vbs.probe /proc/cmdline; then
    echo VBS-PROBE-OK >/dev/ttyS0
    poweroff -f
  fi
  line=$(sed -n 's/.*vbs\.line=\([^ ]*\).*/\1/p' /proc/cmdline)
  export LINE="/dev/${line:-ttyS1}"
  stty -F "$LINE" raw -echo
  while true; do
    sh /init listen <"$LINE"
  done
}

# busybox' read forgets what it has read so far when a child of its own shell ends. So
# this shell is not process 1, to which orphans fall, and leaves its commands orphaned.
listen() {
  while read -r word id length; do
    [ "$word" = RUN ] || continue
    # Not head: it reads ahead into the next command.
    dd bs="$length" count=1 iflag=fullblock of=/run/"$id" 2>/dev/null
    (answer "$id" &)
  done
}

answer() {
  base64 -d </run/"$1" >/run/"$1".sh
  sh /run/"$1".sh >/run/"$1".out 2>&1 </dev/null
  code=$?
  text=$(base64 -w 0 </run/"$1".out)
  rm -f /run/"$1" /run/"$1".sh /run/"$1".out
  until mkdir /run/lock 2>/dev/null; do usleep 5000; done
  printf '\n@%s %s %s\n' "$1" "$code" "$text" >"$LINE"
  rmdir /run/lock
}

"${1:-start}"
