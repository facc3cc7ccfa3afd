// Whole maps by cilium/ebpf beside bpfsmith: cases as in `maps-libbpf/peer.c`.
package main

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
)

const count = 1000000
const batch = 65536

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// Of the whole process: the garbage collector works on other threads. Ticks of the kernel's accounting, not of a timer.
func cpu() float64 {
	var usage syscall.Rusage
	check(syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1e3
}

type watch struct {
	wall time.Time
	cpu  float64
}

func start() watch { return watch{time.Now(), cpu()} }

func (from watch) stop(metric string) {
	used, wall := cpu()-from.cpu, float64(time.Since(from.wall).Nanoseconds())/1e3
	fmt.Printf("%s\t%.3f\t%.3f\n", metric, wall, used)
}

func dump(m *ebpf.Map) {
	keys, values := make([]uint32, count+batch), make([]uint64, count+batch)
	var cursor ebpf.MapBatchCursor
	from, got := start(), 0
	for {
		now, err := m.BatchLookup(&cursor, keys[got:got+batch], values[got:got+batch], nil)
		got += now
		if errors.Is(err, ebpf.ErrKeyNotExist) {
			break
		}
		check(err)
	}
	from.stop("dump")
	if got != count {
		check(fmt.Errorf("%d elements", got))
	}
}

func update(m *ebpf.Map) {
	keys, values := make([]uint32, count), make([]uint64, count)
	for at := range keys {
		keys[at], values[at] = uint32(at), uint64(at)*2
	}
	from := start()
	_, err := m.BatchUpdate(keys, values, nil)
	check(err)
	from.stop("update")
}

func array(m *ebpf.Map) {
	buffer := make([]byte, 8*count)
	var sum uint64
	from := start()
	memory, err := m.Memory()
	check(err)
	for _, metric := range []string{"mapped and read", "read again"} {
		_, err = memory.ReadAt(buffer, 0)
		check(err)
		for _, value := range unsafe.Slice((*uint64)(unsafe.Pointer(&buffer[0])), count) {
			sum += value
		}
		from.stop(metric)
		from = start()
	}
	if sum != (count-1)*count {
		os.Exit(1)
	}
}

func main() {
	m, err := ebpf.LoadPinnedMap(os.Args[2], nil)
	check(err)
	map[string]func(*ebpf.Map){"dump": dump, "update": update, "array": array}[os.Args[1]](m)
}
