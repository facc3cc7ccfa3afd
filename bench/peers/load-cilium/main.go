// Loading by cilium/ebpf beside bpfsmith: as in `load-libbpf/peer.c`. Types of the kernel are kept between loads.
package main

import (
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
)

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

func main() {
	again := 0
	if len(os.Args) > 2 {
		number, err := strconv.Atoi(os.Args[2])
		check(err)
		again = number
	}
	cache := btf.NewCache()
	for i := 0; i <= again; i++ {
		wall, used := time.Now(), cpu()
		spec, err := ebpf.LoadCollectionSpec(os.Args[1])
		check(err)
		loaded, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{Cache: cache})
		check(err)
		took := float64(time.Since(wall).Nanoseconds()) / 1e3
		used = cpu() - used
		if i == 0 {
			fmt.Printf("first\t%.3f\t%.3f\n", took, used)
		} else if i == again {
			fmt.Printf("again\t%.3f\t%.3f\n", took, used)
		}
		loaded.Close()
	}
}
