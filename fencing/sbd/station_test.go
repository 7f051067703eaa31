package sbd

import (
	"strings"
	"testing"
)

func TestStation(t *testing.T) {
	path := created(t, "n1")
	d := open(t, path)
	h, _ := d.Header()
	mine, _ := d.Find(h, "n1")

	if err := d.Send(mine, Reset, "n2"); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenStation(t.Context(), path, "n1", true); err == nil || !strings.Contains(err.Error(), "reset from n2") {
		t.Errorf("a fenced node joins: %v", err)
	}
	s, err := OpenStation(t.Context(), path, "N1", false)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	look := func(want Command) {
		t.Helper()
		if c, err := s.Look(); err != nil || c != want {
			t.Errorf("found %s, %v; want %s", c, err, want)
		}
	}
	look(Clear)
	for _, c := range []Command{Test, Command(77)} {
		if err := d.Send(mine, c, "n2"); err != nil {
			t.Fatal(err)
		}
		look(Test)
		look(Clear)
	}
	for _, c := range []Command{Exit, Reset, Off, CrashDump} {
		if err := d.Send(mine, c, "n2"); err != nil {
			t.Fatal(err)
		}
		look(c)
	}
	// Another node gets a place of its own; the disk made anew is noticed.
	other, err := OpenStation(t.Context(), path, "n3", true)
	if err != nil || other.slot.Number == mine.Number {
		t.Fatalf("%+v, %v", other, err)
	}
	other.Close()
	if err := d.write(1+2*mine.Number, func(b []byte) { encodeSlot(b, "n4") }); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Look(); err == nil || !strings.Contains(err.Error(), "does not belong") {
		t.Error(err)
	}
	if err := d.Create(quick); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Look(); err == nil || !strings.Contains(err.Error(), "header has changed") {
		t.Error(err)
	}
}

// TestRealSBDSendsToUs: the message of the real sbd is found.
func TestRealSBDSendsToUs(t *testing.T) {
	dev := loop(t)
	if err := open(t, dev).Create(quick); err != nil {
		t.Fatal(err)
	}
	s, err := OpenStation(t.Context(), dev, "n1", true)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	sbd(t, dev, "message", "n1", "reset")
	if c, err := s.Look(); err != nil || c != Reset {
		t.Errorf("%s, %v", c, err)
	}
}
