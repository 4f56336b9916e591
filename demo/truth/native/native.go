// Package native adds glibc's own account of the C heap to the truth command.
package native

/*
#include <malloc.h>
#include <stdio.h>

static int info(const char *path) {
	FILE *f = fopen(path, "w");
	if (!f)
		return -1;
	malloc_info(0, f);
	return fclose(f);
}
*/
import "C"

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"unsafe"
)

// Info sums over all arenas, in bytes. Chunks in tcache and fast bins count as
// used in Used; Fast says how much of it are fast bins.
type Info struct {
	Arena uint64 `json:"arena"` // got from the system, without single mmaps
	Mmap  uint64 `json:"mmap"`  // chunks that malloc mapped on their own
	Used  uint64 `json:"used"`
	Free  uint64 `json:"free"`
	Fast  uint64 `json:"fast"`
}

// Read asks mallinfo2.
func Read() Info {
	m := C.mallinfo2()
	return Info{uint64(m.arena), uint64(m.hblkhd), uint64(m.uordblks), uint64(m.fordblks), uint64(m.fsmblks)}
}

// Extra writes DIR/malloc.json (Info) and DIR/malloc_info.xml (by arena).
func Extra(dir string) error {
	info := Read() // before stdio takes its buffer from the same heap
	b, err := json.Marshal(info)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "malloc.json"), b, 0o644); err != nil {
		return err
	}
	path := append([]byte(filepath.Join(dir, "malloc_info.xml")), 0)
	if C.info((*C.char)(unsafe.Pointer(&path[0]))) != 0 {
		return fmt.Errorf("malloc_info: cannot write %s", path)
	}
	return nil
}
