// cilium/ebpf beside bpfsmith, ring buffers: cases and output as in `ring-libbpf/peer.c`.
package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/ringbuf"
)

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func main() {
	what := os.Args[1]
	rounds, err := strconv.Atoi(os.Args[3])
	check(err)
	objects, err := ebpf.LoadCollection(os.Args[2])
	check(err)
	reader, err := ringbuf.NewReader(objects.Maps["ring"])
	check(err)
	name, repeat := what, objects.Maps["ring"].MaxEntries()/40/64
	switch what {
	case "drain":
		name = "fill"
	case "mixed":
		repeat = objects.Maps["ring"].MaxEntries() / 56 / 64
	case "live":
		repeat = 10_000_000 / 64
	}
	packet := make([]byte, 64)
	run := func() {
		_, err := objects.Programs[name].Run(&ebpf.RunOptions{Data: packet, Repeat: repeat})
		check(err)
	}
	var record ringbuf.Record
	var sum uint64
	for range rounds {
		count, goal := uint64(0), uint64(repeat)*64
		var from time.Time
		done := make(chan struct{})
		if what == "live" {
			from = time.Now()
			go func() { run(); close(done) }()
		} else {
			run()
			close(done)
			from = time.Now()
			// What nobody was woken for is looked at when a deadline passes.
			reader.SetDeadline(time.Now().Add(time.Microsecond))
		}
		for count < goal {
			err := reader.ReadInto(&record)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				if count == 0 {
					continue
				}
				break
			}
			check(err)
			sum += binary.NativeEndian.Uint64(record.RawSample)
			count++
		}
		fmt.Printf("%s\t%d\t%d\n", what, count, time.Since(from).Nanoseconds())
		<-done
	}
	fmt.Fprintln(os.Stderr, sum)
}
