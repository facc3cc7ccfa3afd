#!/bin/sh
# Builds the reference program on the libbpf that the `libbpf-sys` crate vendors.
#
#     build.sh FOLDER      prints the path of the program; needs cargo, cc, libelf and zlib headers
#
# The crate is only fetched for its copy of libbpf, nothing of it is built or linked into the product.
set -eu
version=1.7.0
here=$(cd "$(dirname "$0")" && pwd)
out=$1
binary=$out/libbpf_ref-$version
if [ -x "$binary" ] && [ ! "$here/ref.c" -nt "$binary" ] && [ ! "$here/build.sh" -nt "$binary" ]; then
	echo "$binary"
	exit 0
fi
fetch=$out/fetch
mkdir -p "$fetch/src"
cat >"$fetch/Cargo.toml" <<TOML
[package]
name = "fetch"
version = "0.0.0"
edition = "2021"
[dependencies]
libbpf-sys = { version = "=$version", default-features = false }
[workspace]
TOML
: >"$fetch/src/lib.rs"
manifest=$(cd "$fetch" && cargo metadata --format-version 1 2>/dev/null | tr ',' '\n' |
	sed -n 's/^"manifest_path":"\(.*libbpf-sys-[^"]*Cargo.toml\)".*/\1/p' | head -n 1)
source=$(dirname "$manifest")/libbpf
[ -d "$source/src" ] || { echo "no libbpf source beside $manifest" >&2; exit 1; }
headers=$out/include
mkdir -p "$headers/bpf"
cp "$source"/src/*.h "$headers/bpf/"
wrap=-Wl,--wrap=syscall,--wrap=open,--wrap=fopen,--wrap=faccessat,--wrap=gzopen
# A thread-safe name while building: several test runs may share the folder.
${CC:-cc} -O1 -w \
	-I"$headers" -I"$source/include" -I"$source/include/uapi" \
	"$here/ref.c" "$source"/src/*.c $wrap -lelf -lz -o "$binary.$$"
mv "$binary.$$" "$binary"
echo "$binary"
