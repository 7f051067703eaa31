// Command service is a service whose outages can be measured, and its clients:
//
//	service serve :7000            answers every connection with the name of its host
//	service ask ADDRESS:PORT       a client of that, from anywhere
//	service write FILE             a client that appends records, each of them synced
//	service verify FILE COUNT      whether that many records are in a file, undamaged
//	service commit ADDRESS:PORT    a client that commits rows to a MySQL or MariaDB server
//	service count ADDRESS:PORT N   whether that many rows are there, undamaged
//
// The clients print a line for every success: when it came, in nanoseconds of the Unix
// clock, and what it was. "ask" begins a question every 50 ms and does not wait for the
// one before, so that a lost packet does not look like a longer outage than it is.
// "write" and "commit" go on after an error with what was not acknowledged.
package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

func main() {
	every := flag.Duration("every", 50*time.Millisecond, "the time between two questions or records")
	patience := flag.Duration("patience", time.Second, "how long a question may take")
	flag.Parse()
	err := errors.New("usage: service serve|ask|write|verify|commit|count ARGUMENTS")
	switch args := flag.Args(); {
	case len(args) == 2 && args[0] == "serve":
		err = serve(args[1])
	case len(args) == 2 && args[0] == "ask":
		err = ask(os.Stdout, args[1], *every, *patience)
	case len(args) == 2 && args[0] == "write":
		err = write(os.Stdout, args[1], *every)
	case len(args) == 2 && args[0] == "commit":
		err = commit(os.Stdout, args[1], *every, *patience)
	case len(args) == 3 && (args[0] == "verify" || args[0] == "count"):
		look := map[string]func(io.Writer, string, int) error{"verify": verify, "count": count}[args[0]]
		var n int
		if n, err = strconv.Atoi(args[2]); err == nil {
			err = look(os.Stdout, args[1], n)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "service:", err)
		os.Exit(1)
	}
}

// serve answers every connection with the name of this host.
func serve(at string) error {
	name, err := os.Hostname()
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", at)
	if err != nil {
		return err
	}
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			_, _ = io.WriteString(c, name+"\n")
			_ = c.Close()
		}()
	}
}

// ask prints every answer, until it is ended.
func ask(out io.Writer, address string, every, patience time.Duration) error {
	var mu sync.Mutex
	for range time.Tick(every) {
		go func() {
			c, err := net.DialTimeout("tcp", address, patience)
			if err != nil {
				return
			}
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(patience))
			answer, err := bufio.NewReader(c).ReadString('\n')
			if err != nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			fmt.Fprintf(out, "%d %s", time.Now().UnixNano(), answer)
		}()
	}
	return nil
}

// recordSize is that of a record in the file, with its newline.
const recordSize = 128

// record has its number and a checksum, and fills its place.
func record(n int) []byte {
	text := fmt.Sprintf("%010d %x", n, sha256.Sum256([]byte(strconv.Itoa(n))))
	return append(bytes.Repeat([]byte{'.'}, recordSize-1-len(text)), text+"\n"...)
}

// write appends records, until it is ended.
func write(out io.Writer, name string, every time.Duration) error {
	var f *os.File
	for n := 0; ; time.Sleep(every) {
		err := func() (err error) {
			if f == nil {
				if f, err = os.OpenFile(name, os.O_CREATE|os.O_WRONLY, 0o644); err != nil {
					f = nil
					return err
				}
			}
			if _, err = f.WriteAt(record(n), int64(n)*recordSize); err != nil {
				return err
			}
			return f.Sync()
		}()
		if err != nil {
			fmt.Fprintf(os.Stderr, "%d %v\n", time.Now().UnixNano(), err)
			if f != nil {
				_ = f.Close()
				f = nil
			}
			continue
		}
		fmt.Fprintf(out, "%d %d\n", time.Now().UnixNano(), n)
		n++
	}
}

// verify looks whether the first records are all there. What comes behind them was
// written and never acknowledged.
func verify(out io.Writer, name string, count int) error {
	raw, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	for n := range count {
		if end := (n + 1) * recordSize; end > len(raw) {
			return fmt.Errorf("record %d of %d and those behind it are lost: %s has %d bytes", n, count, name, len(raw))
		}
		if got := raw[n*recordSize : (n+1)*recordSize]; !bytes.Equal(got, record(n)) {
			return fmt.Errorf("record %d of %d is damaged: %q", n, count, strings.TrimSpace(string(got)))
		}
	}
	fmt.Fprintf(out, "%d records\n", count)
	return nil
}
