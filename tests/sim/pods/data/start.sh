#!/bin/sh
# The start script of a pod's image: the texts, their order and what is done are those of the official images
# (runpod/containers, container-template/start.sh), but for RSA and DSA keys, which take too long to make.
# usage: start.sh ROOT SSHD DELAY HOSTNAME; ROOT "" is a real root directory, SSHD "" an image without SSH.
root=$1 sshd=$2 delay=$3 name=$4

make_key() {
    if [ ! -f "$root/etc/ssh/ssh_host_$1_key" ]; then
        ssh-keygen -t "$1" -f "$root/etc/ssh/ssh_host_$1_key" -q -N '' -C "root@$name"
        echo "$2 key fingerprint:"
        ssh-keygen -lf "$root/etc/ssh/ssh_host_$1_key.pub"
    fi
}

setup_ssh() {
    echo "Setting up SSH..."
    mkdir -p "$HOME/.ssh"
    echo "$PUBLIC_KEY" >> "$HOME/.ssh/authorized_keys"
    chmod 700 "$HOME/.ssh"
    chmod 600 "$HOME/.ssh/authorized_keys"
    make_key ecdsa ECDSA
    make_key ed25519 ED25519
    env -i PATH="$PATH" "$sshd" -f "$root/etc/ssh/sshd_config" -E "$root/var/log/sshd.log" || {
        echo "sshd did not start: $(cat "$root/var/log/sshd.log")"
        exit 1
    }
    echo "SSH host keys:"
    for key in ecdsa ed25519; do
        echo "Key: /etc/ssh/ssh_host_${key}_key.pub"
        ssh-keygen -lf "$root/etc/ssh/ssh_host_${key}_key.pub"
    done
}

export_env_vars() {
    echo "Exporting environment variables..."
    printenv | grep -E '^RUNPOD_|^PATH=|^_=' | sed 's/^\([^=]*\)=\(.*\)$/export \1="\2"/' > "$root/etc/rp_environment"
    # Ubuntu's .bashrc begins so, which is why a command over SSH never sees these variables
    [ -f "$HOME/.bashrc" ] || echo '[ -z "$PS1" ] && return' > "$HOME/.bashrc"
    echo "source /etc/rp_environment" >> "$HOME/.bashrc"
}

echo "Starting Nginx service..."
echo "Pod Started"
[ "$delay" = 0 ] || sleep "$delay"
if [ -n "$PUBLIC_KEY" ] && [ -n "$sshd" ]; then
    setup_ssh
fi
export_env_vars
echo "Start script(s) finished, Pod is ready to use."
while :; do sleep 86400; done
