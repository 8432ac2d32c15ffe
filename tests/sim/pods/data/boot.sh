#!/bin/sh
# Process 1 of a pod, in namespaces of its own, until it becomes the image's start script: makes the root directory.
# usage: boot.sh BASE SEED HOSTNAME DISK HOME VOLUME MOUNT SSHD DELAY [HIDDEN ...]
# The container disk is a tmpfs of DISK bytes over the machine's root, which shows through read-only; VOLUME is bound at
# MOUNT if that is not "". HOME, /tmp and /var/tmp are emptied but for the folders listed in SEED/kept. SEED also holds
# the start script, nvidia-smi and sshd_config. HIDDEN is what the image lacks.
set -eu
base=$1 seed=$2 name=$3 disk=$4 home=$5 volume=$6 mount=$7 sshd=$8 delay=$9
shift 9
root=$base/root

echo "$name" > /proc/sys/kernel/hostname
mount -t tmpfs -o "size=$disk,mode=755" container "$base"
mkdir -p "$base/upper" "$base/work" "$root" "$base/upper/var/log"
mkdir -p "$base/upper${home%/*}"
# a character device 0,0 in the upper layer hides what lies below (kernel: filesystems/overlayfs, "whiteouts")
for hidden in /tmp /var/tmp /run "$home"; do
    mknod "$base/upper$hidden" c 0 0
done
mount -t overlay -o "lowerdir=/,upperdir=$base/upper,workdir=$base/work" overlay "$root"
mkdir -m 1777 "$root/tmp" "$root/var/tmp"
mkdir "$root/run"
mkdir -m 700 "$root$home"
while read -r kept; do
    mkdir -p "$root$kept"
    mount -o bind,ro "$kept" "$root$kept"
done < "$seed/kept"
mount -t tmpfs -o mode=755 run "$root/run"
mkdir -p "$root/run/sshd" "$root/run/gpu" "$root/etc/ssh" "$root/proc" "$root/sys" "$root/dev" "$root/mnt"
mount --bind "$seed/gpu" "$root/run/gpu"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount -t tmpfs -o mode=755 dev "$root/dev"
mknod -m 666 "$root/dev/null" c 1 3
mknod -m 666 "$root/dev/zero" c 1 5
mknod -m 666 "$root/dev/full" c 1 7
mknod -m 666 "$root/dev/random" c 1 8
mknod -m 666 "$root/dev/urandom" c 1 9
mknod -m 666 "$root/dev/tty" c 5 0
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
mount -t tmpfs -o mode=1777 shm "$root/dev/shm"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
if [ -n "$mount" ]; then
    mkdir -p "$root$mount"
    mount --bind "$volume" "$root$mount"
fi

rm -f "$root"/etc/ssh/ssh_host_*
[ ! -f "$root/etc/shadow" ] || sed -i 's/^root:!/root:*/' "$root/etc/shadow" # sshd refuses a locked account
cp "$seed/sshd_config" "$root/etc/ssh/sshd_config"
cp "$seed/start.sh" "$root/start.sh"
cp "$seed/nvidia-smi" "$root/usr/bin/nvidia-smi"
[ -e "$root/usr/bin/python3" ] || cp -P "$seed/python3" "$root/usr/bin/python3"
for hidden in "$@"; do
    if [ -d "$root$hidden" ]; then
        mount -t tmpfs -o ro,mode=755 none "$root$hidden"
    else
        rm -f "$root$hidden"
    fi
done

cd "$root"
pivot_root . mnt
cd /
exec chroot . /bin/sh -c 'umount --lazy /mnt; unset MAXCAI_SIM_PODS PWD OLDPWD; exec /bin/sh /start.sh "" "$@"' sh "$sshd" "$delay" "$name"
