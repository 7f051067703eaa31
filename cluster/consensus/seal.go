package consensus

import (
	"bytes"
	"encoding/binary"
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
	c := tx.Bucket([]byte(bucketStable)).Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		if string(k) != settingSeal {
			sum = crc32.Update(crc32.Update(sum, castagnoli, k), castagnoli, v)
		}
	}
	return sum
}

// sealFor is the seal of a transaction after which the entries of the log have the
// common checksum given.
func sealFor(tx *bbolt.Tx, log uint32) []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, sealSize), uint64(tx.ID()))
	b = binary.BigEndian.AppendUint32(b, log)
	return binary.BigEndian.AppendUint32(b, settingsSum(tx))
}

func putSeal(tx *bbolt.Tx, log uint32) error { return putSetting(tx, settingSeal, sealFor(tx, log)) }

// sealedSum is the common checksum of the log's entries at the last seal.
func (s *logStore) sealedSum(tx *bbolt.Tx) (uint32, error) {
	b, err := s.setting(tx, settingSeal)
	if err == nil && len(b) != sealSize {
		err = &DamageError{s.path, "it has no seal"}
	}
	if err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint32(b[8:]), nil
}

// verifySeal compares what is there with the seal of the last transaction.
func (s *logStore) verifySeal(tx *bbolt.Tx, log uint32) error {
	b, err := s.setting(tx, settingSeal)
	if err == nil && !bytes.Equal(b, sealFor(tx, log)) {
		err = &DamageError{s.path, "parts of it are missing, or older than the others"}
	}
	return err
}
