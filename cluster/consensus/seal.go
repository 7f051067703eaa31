package consensus

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"go.etcd.io/bbolt"
)

// Pages of bbolt have no checksums. A flipped bit in one can make it point to a
// page that held an older state, or count fewer elements than there are, and
// what is left is sound in itself. So every transaction ends with a seal: what
// the whole file holds since then. It is a setting of its own:
//
//	number of the transaction (8 bytes), checksum of the entries of the log
//	(4), checksum of the other settings (4)
//
// The number is in the head of the file, too, which has a checksum.
const settingSeal = "gcrm-seal"

const sealSize = 8 + 4 + 4

// entrySum is what an entry of the log adds to the checksum of all entries,
// which is the exclusive or: entries come and go one by one.
func entrySum(v []byte) uint32 {
	if len(v) < logTail {
		return 0
	}
	return binary.BigEndian.Uint32(v[len(v)-logTail:])
}

// settingsSum is the checksum of all settings but the seal.
func settingsSum(tx *bbolt.Tx) (sum uint32) {
	table := crc32.MakeTable(crc32.Castagnoli)
	c := tx.Bucket([]byte(bucketStable)).Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		if string(k) != settingSeal {
			sum = crc32.Update(crc32.Update(sum, table, k), table, v)
		}
	}
	return sum
}

// putSeal ends a transaction after which the entries of the log have the common
// checksum given.
func putSeal(tx *bbolt.Tx, log uint32) error {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, sealSize), uint64(tx.ID()))
	b = binary.BigEndian.AppendUint32(b, log)
	return putSetting(tx, settingSeal, binary.BigEndian.AppendUint32(b, settingsSum(tx)))
}

func (s *logStore) seal(tx *bbolt.Tx) ([]byte, error) {
	b, err := s.setting(tx, settingSeal)
	if err == nil && len(b) != sealSize {
		err = &DamageError{s.path, "it has no seal"}
	}
	return b, err
}

// sealedSum is the common checksum of the log's entries at the last seal.
func (s *logStore) sealedSum(tx *bbolt.Tx) (uint32, error) {
	b, err := s.seal(tx)
	if err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint32(b[8:]), nil
}

// verifySeal compares what is there with the seal.
func (s *logStore) verifySeal(tx *bbolt.Tx, log uint32) error {
	b, err := s.seal(tx)
	if err != nil {
		return err
	}
	if n := binary.BigEndian.Uint64(b); n != uint64(tx.ID()) {
		return &DamageError{s.path, fmt.Sprintf("parts of it are of transaction %d, others of %d", n, tx.ID())}
	}
	if binary.BigEndian.Uint32(b[8:]) != log {
		return &DamageError{s.path, "entries of the log are missing or old"}
	}
	if binary.BigEndian.Uint32(b[12:]) != settingsSum(tx) {
		return &DamageError{s.path, "settings are missing or old"}
	}
	return nil
}
