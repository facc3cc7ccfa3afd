// cilium/ebpf beside bpfsmith: one case per process, `metric<TAB>wall us<TAB>cpu us` per line. Cases as in
// `libbpf/peer.c`.
package main

import (
	"fmt"
	"os"
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

type watch struct {
	wall time.Time
	cpu  float64
}

func (from watch) stop(metric string) {
	used, wall := cpu()-from.cpu, float64(time.Since(from.wall).Nanoseconds())/1e3
	fmt.Printf("%s\t%.3f\t%.3f\n", metric, wall, used)
}

func main() {
	from := watch{time.Now(), cpu()}
	if os.Args[1] == "btf" {
		spec, err := btf.LoadKernelSpec()
		check(err)
		from.stop("parse")
		var task *btf.Struct
		check(spec.TypeByName("task_struct", &task))
		from.stop("first lookup")
		for _, member := range task.Members {
			if member.Name == "pid" {
				from.stop("offset")
			}
		}
		return
	}
	spec, err := ebpf.LoadCollectionSpec(os.Args[2])
	check(err)
	from.stop("parse")
	if os.Args[1] != "core" {
		return
	}
	kernel, err := btf.LoadKernelSpec()
	check(err)
	for _, program := range spec.Programs {
		var relocations []*btf.CORERelocation
		for at := range program.Instructions {
			if one := btf.CORERelocationMetadata(&program.Instructions[at]); one != nil {
				relocations = append(relocations, one)
			}
		}
		_, err := btf.CORERelocate(relocations, []*btf.Spec{kernel}, program.ByteOrder, func(t btf.Type) (btf.TypeID, error) { return 0, nil })
		check(err)
	}
	from.stop("core and kernel types")
}
