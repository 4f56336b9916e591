package truth

import (
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// TempFile makes a file of n bytes in os.TempDir and returns it open. The
// caller removes it at the end (Demo.Exit); what a killed program of the same
// name left behind is removed here.
func TempFile(name, suffix string, n int64) *os.File {
	prefix := filepath.Join(os.TempDir(), "whyrss-"+name+"-")
	old, _ := filepath.Glob(prefix + "*" + suffix)
	for _, path := range old {
		pid, err := strconv.Atoi(path[len(prefix) : len(path)-len(suffix)])
		if err == nil && syscall.Kill(pid, 0) == syscall.ESRCH {
			os.Remove(path)
		}
	}
	f, err := os.Create(prefix + strconv.Itoa(os.Getpid()) + suffix)
	if err != nil {
		Fatal(err)
	}
	block := copybuf[:]
	for i := range block {
		block[i] = byte(i)
	}
	for ; n > 0; n -= int64(len(block)) {
		if n < int64(len(block)) {
			block = block[:n]
		}
		if _, err := f.Write(block); err != nil {
			os.Remove(f.Name())
			Fatal(err)
		}
	}
	return f
}

// MapFile maps f read-only and reads a byte of every page.
func MapFile(f *os.File, n int64) []byte {
	b, err := syscall.Mmap(int(f.Fd()), 0, int(n), syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		os.Remove(f.Name())
		Fatal(err)
	}
	Read(b)
	return b
}

// MapAnon maps private anonymous memory that the Go heap knows nothing of.
func MapAnon(n int64, flags int) []byte {
	b, err := syscall.Mmap(-1, 0, int(n), syscall.PROT_READ|syscall.PROT_WRITE,
		syscall.MAP_PRIVATE|syscall.MAP_ANON|flags)
	if err != nil {
		Fatal(err)
	}
	return b
}

// Sum is where Read leaves its result, so that the reads are not optimised away.
var Sum byte

// Read reads one byte of every page.
func Read(b []byte) {
	var s byte
	for i := 0; i < len(b); i += 4096 {
		s += b[i]
	}
	Sum += s
}
