package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"time"
)

// session is a connection with a MySQL or MariaDB server, as user "client" without a
// password: as much of the protocol as it takes to send statements.
type session struct {
	c    net.Conn
	r    *bufio.Reader
	next byte // number of the next packet
	// patience bounds every statement.
	patience time.Duration
}

// Flags of the protocol that the client has, and kinds of packets.
const (
	protocol41       = 1 << 9
	secureConnection = 1 << 15
	pluginAuth       = 1 << 19

	packetOK    = 0x00
	packetEOF   = 0xfe
	packetError = 0xff
	query       = 0x03
)

func connect(address string, patience time.Duration) (*session, error) {
	c, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return nil, err
	}
	s := &session{c: c, r: bufio.NewReader(c), patience: patience}
	if err := s.greet(); err != nil {
		_ = c.Close()
		return nil, err
	}
	return s, nil
}

func (s *session) greet() error {
	_ = s.c.SetDeadline(time.Now().Add(s.patience))
	hello, err := s.read()
	if err != nil {
		return err
	}
	if len(hello) == 0 || hello[0] != 10 {
		return fmt.Errorf("the server begins with %q", hello)
	}
	p := binary.LittleEndian.AppendUint32(nil, protocol41|secureConnection|pluginAuth)
	p = binary.LittleEndian.AppendUint32(p, 1<<24)
	p = append(append(p, 33), make([]byte, 23)...)
	p = append(p, "client\x00\x00mysql_native_password\x00"...)
	if err := s.write(p); err != nil {
		return err
	}
	answer, err := s.read()
	if err == nil && answer[0] == packetEOF { // another way to authenticate: no password there, too
		if err = s.write(nil); err == nil {
			answer, err = s.read()
		}
	}
	if err == nil && answer[0] != packetOK {
		err = fmt.Errorf("not let in: %q", answer)
	}
	return err
}

// do sends a statement and returns the rows of its answer.
func (s *session) do(statement string) (rows [][]string, err error) {
	_ = s.c.SetDeadline(time.Now().Add(s.patience))
	s.next = 0
	if err := s.write(append([]byte{query}, statement...)); err != nil {
		return nil, err
	}
	answer, err := s.read()
	if err != nil || answer[0] == packetOK {
		return nil, err
	}
	// Behind the number of columns come their descriptions, then the rows.
	for part := 0; part < 2; {
		p, err := s.read()
		switch {
		case err != nil:
			return nil, err
		case p[0] == packetEOF && len(p) < 9:
			part++
		case part == 1:
			row, err := texts(p)
			if err != nil {
				return nil, err
			}
			rows = append(rows, row)
		}
	}
	return rows, nil
}

// texts are the columns of a row, all of them shorter than 251 bytes.
func texts(p []byte) (row []string, err error) {
	for len(p) > 0 {
		n := int(p[0])
		if n > 250 || n >= len(p)+1 || 1+n > len(p) {
			return nil, fmt.Errorf("a row that cannot be read: %q", p)
		}
		row, p = append(row, string(p[1:1+n])), p[1+n:]
	}
	return row, nil
}

func (s *session) read() ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(s.r, head[:]); err != nil {
		return nil, err
	}
	s.next = head[3] + 1
	p := make([]byte, int(head[0])|int(head[1])<<8|int(head[2])<<16)
	if _, err := io.ReadFull(s.r, p); err != nil {
		return nil, err
	}
	if len(p) == 0 {
		return nil, errors.New("the server sent nothing")
	}
	if p[0] == packetError {
		return nil, fmt.Errorf("the server refuses: %q", p[min(3, len(p)):])
	}
	return p, nil
}

func (s *session) write(p []byte) error {
	head := []byte{byte(len(p)), byte(len(p) >> 8), byte(len(p) >> 16), s.next}
	_, err := s.c.Write(append(head, p...))
	return err
}

func sum(n int) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(strconv.Itoa(n)))) }

// commit commits one row after the other, until it is ended. One that was not
// acknowledged may have been committed all the same, and is written again.
func commit(out io.Writer, address string, every, patience time.Duration) error {
	var s *session
	for n := 0; ; time.Sleep(every) {
		err := func() (err error) {
			if s == nil {
				if s, err = connect(address, patience); err != nil {
					return err
				}
				if _, err = s.do("CREATE TABLE IF NOT EXISTS test.records (n INT PRIMARY KEY, sum CHAR(64)) ENGINE=InnoDB"); err != nil {
					return err
				}
			}
			_, err = s.do(fmt.Sprintf("REPLACE INTO test.records VALUES (%d, '%s')", n, sum(n)))
			return err
		}()
		if err != nil {
			fmt.Fprintf(os.Stderr, "%d %v\n", time.Now().UnixNano(), err)
			if s != nil {
				_ = s.c.Close()
				s = nil
			}
			continue
		}
		fmt.Fprintf(out, "%d %d\n", time.Now().UnixNano(), n)
		n++
	}
}

// count looks whether the first rows are all there.
func count(out io.Writer, address string, want int) error {
	s, err := connect(address, time.Minute)
	if err != nil {
		return err
	}
	defer s.c.Close()
	rows, err := s.do(fmt.Sprintf("SELECT n, sum FROM test.records WHERE n < %d ORDER BY n", want))
	if err != nil {
		return err
	}
	for n := range want {
		if n >= len(rows) || rows[n][0] != strconv.Itoa(n) {
			return fmt.Errorf("row %d of %d is lost", n, want)
		}
		if !bytes.Equal([]byte(rows[n][1]), []byte(sum(n))) {
			return fmt.Errorf("row %d of %d is damaged: %q", n, want, rows[n])
		}
	}
	fmt.Fprintf(out, "%d rows\n", want)
	return nil
}
