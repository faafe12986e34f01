// A layer between SQLite and the file system that puts a checksum at the end of every page of a database file
// and verifies it on every read, so that a damaged page is an error and never data.
//
// The last kPageChecksumBytes of a page are reserved in the file's own header (byte 20), so other SQLite
// tools can read such a file. The page number is part of the checksum: a page written to the wrong place is
// found too. The write-ahead log has checksums of its own; it is only made to grow by whole steps, so that
// the flush of a commit rarely has the file system write its own journal as well.
#pragma once

#include <cstddef>
#include <cstdint>

namespace orch::datastore::sqlite {

constexpr int kPageChecksumBytes = 8;

/// The name to open databases with; registers the layer with SQLite on the first call. It stands on what is
/// SQLite's default file system layer at that time. Null if SQLite has none. Thread-safe.
const char* checked_vfs();

/// Of the first `size` bytes (a multiple of 8) of page `number`.
uint64_t page_checksum(uint64_t number, const unsigned char* page, size_t size);

}  // namespace orch::datastore::sqlite
