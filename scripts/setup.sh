#!/bin/sh
# Installs what is missing on a Debian or Ubuntu machine: programs through apt (as root, or with
# sudo), the project's npm packages, and Node 24 from npm where the machine's own is older.
#   sh scripts/setup.sh run     what running containers needs
#   sh scripts/setup.sh test    that, and what the tests need
set -eu
cd "$(dirname "$0")/.."

run_packages="crun:crun conmon:conmon catatonit:catatonit netavark:netavark iptables:iptables ps:procps debootstrap:debootstrap busybox:busybox-static"
test_packages="docker-registry:docker-registry skopeo:skopeo umoci:umoci xz:xz-utils bzip2:bzip2 zstd:zstd getfattr:attr setcap:libcap2-bin ip:iproute2 mke2fs:e2fsprogs mkfs.xfs:xfsprogs mkfs.btrfs:btrfs-progs script:bsdutils htpasswd:apache2-utils bsdtar:libarchive-tools python3:python3 runc:runc strace:strace"

case ${1:-run} in
run) wanted=$run_packages ;;
test) wanted="$run_packages $test_packages" ;;
*) echo "usage: setup.sh run|test" >&2; exit 2 ;;
esac

as_root=
# Whether this user may install programs; sudo asks for a password only where somebody can type it.
may_install() {
  [ "$(id -u)" != 0 ] || return 0
  as_root=sudo
  command -v sudo >/dev/null 2>&1 || return 1
  sudo -n true 2>/dev/null || { [ -t 0 ] && sudo -v; }
}

# ISA-L inflates layers twice as fast as Node can; where it is missing, Node does it.
has_isal() { ls /usr/lib/*/libisal.so.2 /usr/lib*/libisal.so.2 >/dev/null 2>&1; }

# The helpers of container engines are not in everybody's PATH.
PATH=$PATH:/usr/sbin:/sbin:/usr/lib/podman:/usr/libexec/podman
missing=
for pair in $wanted; do
  command -v "${pair%%:*}" >/dev/null 2>&1 || missing="$missing ${pair#*:}"
done
has_isal || missing="$missing libisal2"
if [ -n "$missing" ]; then
  if ! command -v apt-get >/dev/null 2>&1; then
    echo "setup: these programs are missing, and there is no apt-get to install them:$missing" >&2
    exit 1
  fi
  # What needs none of these programs works without them, so `run` goes on; those that use them say what they miss.
  if may_install; then
    echo "setup: installing through apt${as_root:+ (with sudo)}:$missing"
    log=$(mktemp)
    if ! { $as_root apt-get update && $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing; } >"$log" 2>&1; then
      tail -n 5 "$log" >&2
      echo "setup: apt could not install all of:$missing" >&2
      [ "${1:-run}" = run ] || exit 1
    fi
    rm -f "$log"
  else
    echo "setup: these programs are missing, and this user may not install them (not root, and no sudo):$missing" >&2
    echo "setup: as root: apt-get install$missing" >&2
    [ "${1:-run}" = run ] || exit 1
  fi
fi

if [ ! -e node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
  echo "setup: installing the npm packages"
  npm ci --no-audit --no-fund --loglevel=error
  touch node_modules/.package-lock.json
fi

# The npm of Debian and Ubuntu (9.2) leaves out the links to programs of optional packages.
for node in node_modules/node-linux-*/bin/node; do
  [ ! -x "$node" ] || ln -sf "../${node#node_modules/}" node_modules/.bin/node
done
