// Says what its own runtime knows of many pcs, for test_pclntab: for each pc one line
// "pc", then a line "function TAB file TAB line TAB entry" for each frame, innermost first.
package main

import (
	"bufio"
	"debug/elf"
	"fmt"
	"os"
	"runtime"
	"sort"
	"strings"
)

type pair[K comparable, V any] struct {
	key K
	val V
}

type table[K comparable, V any] struct{ all []pair[K, V] }

func (t *table[K, V]) add(k K, v V)      { t.all = append(t.all, pair[K, V]{k, v}) }
func (t *table[K, V]) each(f func(K, V)) { walk(t.all, func(p pair[K, V]) { f(p.key, p.val) }) }
func walk[T any](all []T, f func(T)) {
	for _, x := range all {
		f(x)
	}
}
func twice[T any](f func() T) func() (T, T) { return func() (T, T) { return f(), f() } }

func main() {
	f, err := elf.Open("/proc/self/exe")
	if err != nil {
		panic(err)
	}
	text := f.Section(".text")
	if text == nil {
		panic("no .text")
	}
	var pcs table[uint64, string]
	// Dense in this package, which has the generic functions; thin elsewhere.
	for pc, step := text.Addr, uint64(0); pc < text.Addr+text.Size; pc += step {
		step = 131
		if fn := runtime.FuncForPC(uintptr(pc)); fn != nil && strings.HasPrefix(fn.Name(), "main.") {
			step = 3
		}
		// A return address in front of a function is taken for that function by the runtime.
		if next := runtime.FuncForPC(uintptr(pc) + 1); next == nil || next.Entry() == uintptr(pc)+1 {
			continue
		}
		pcs.add(pc, "")
	}
	sort.Slice(pcs.all, func(i, j int) bool { return pcs.all[i].key < pcs.all[j].key })
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	pcs.each(func(pc uint64, _ string) {
		fmt.Fprintf(out, "%x\n", pc)
		// A return address is one more; the 1, which is in no function, asks for all inlined frames.
		frames := runtime.CallersFrames([]uintptr{uintptr(pc) + 1, 1})
		for {
			fr, more := frames.Next()
			if fr.PC != 0 {
				fmt.Fprintf(out, "%s\t%s\t%d\t%x\n", fr.Function, fr.File, fr.Line, fr.Entry)
			}
			if !more {
				return
			}
		}
	})
	a, b := twice(func() map[string]int { return nil })()
	runtime.KeepAlive([]any{a, b})
}
