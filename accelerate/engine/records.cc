#include "accelerate/engine/records.h"

#include <sqlite3.h>

#include <cerrno>
#include <chrono>
#include <cmath>
#include <functional>
#include <mutex>

#include <fmt/format.h>

#include "accelerate/base/file.h"
#include "accelerate/base/file_lock.h"
#include "accelerate/base/json.h"
#include "accelerate/base/log.h"
#include "accelerate/base/paths.h"

namespace accelerate {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSchema =
    "CREATE TABLE records (id INTEGER PRIMARY KEY, unix_s INTEGER NOT NULL, kind TEXT NOT NULL, model_id TEXT NOT NULL,"
    " quantization TEXT NOT NULL, shape TEXT NOT NULL, target TEXT NOT NULL, versions TEXT NOT NULL, fingerprint TEXT NOT NULL,"
    " threads INTEGER NOT NULL, verdict TEXT NOT NULL, samples TEXT NOT NULL, notes TEXT NOT NULL);"
    "CREATE INDEX records_of_model ON records (model_id, kind);";
// In the order of the table, behind id.
constexpr const char* kColumns = "unix_s, kind, model_id, quantization, shape, target, versions, fingerprint, threads, verdict, samples, notes";

int64_t now_unix_s() { return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count(); }

struct CloseDatabase { void operator()(sqlite3* database) const { sqlite3_close_v2(database); } };
struct CloseStatement { void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); } };
using Database = std::unique_ptr<sqlite3, CloseDatabase>;
using Statement = std::unique_ptr<sqlite3_stmt, CloseStatement>;

// SQLite's primary codes in our words.
Error sqlite_error(int code, sqlite3* database, const fs::path& path, std::string_view action) {
  const std::string reason = database ? sqlite3_errmsg(database) : sqlite3_errstr(code);
  const auto error = [&](ErrorCode ours, std::string_view advice) {
    return Error{ours, fmt::format("[records] {} '{}': {}{}{}", action, path.string(), reason, advice.empty() ? "" : "; try ", advice)};
  };
  switch (code & 0xff) {
    case SQLITE_FULL: return error(ErrorCode::kResourceExhausted, "to free disk space");
    case SQLITE_READONLY: case SQLITE_PERM: case SQLITE_CANTOPEN: case SQLITE_AUTH:
      return error(ErrorCode::kPermissionDenied, "a writable XDG_STATE_HOME");
    case SQLITE_BUSY: case SQLITE_LOCKED: return error(ErrorCode::kUnavailable, "again when the other process is done");
    case SQLITE_CORRUPT: case SQLITE_NOTADB: return error(ErrorCode::kDataLoss, "");
    case SQLITE_NOMEM: case SQLITE_TOOBIG: return error(ErrorCode::kResourceExhausted, "");
    default: return error(ErrorCode::kUnknown, "");
  }
}

// One connection: statements with errors of ours.
struct Connection {
  fs::path path;
  Database database;
  bool writable = false;

  Error error(std::string_view action) const { return sqlite_error(sqlite3_errcode(database.get()), database.get(), path, action); }
  Result<void> run(const char* sql, std::string_view action) const {
    if (sqlite3_exec(database.get(), sql, nullptr, nullptr, nullptr) != SQLITE_OK) return error(action);
    return {};
  }
  Result<Statement> prepare(const std::string& sql, std::string_view action) const {
    sqlite3_stmt* raw = nullptr;
    if (sqlite3_prepare_v2(database.get(), sql.c_str(), -1, &raw, nullptr) != SQLITE_OK) return error(action);
    return Statement(raw);
  }
  Result<int64_t> number(const char* sql, std::string_view action) const {
    ACC_TRY(const Statement statement, prepare(sql, action));
    if (sqlite3_step(statement.get()) != SQLITE_ROW) return error(action);
    return int64_t{sqlite3_column_int64(statement.get(), 0)};
  }
};

void bind_text(const Statement& statement, int index, const std::string& text) {
  sqlite3_bind_text(statement.get(), index, text.data(), static_cast<int>(text.size()), SQLITE_TRANSIENT);
}

std::string column_text(const Statement& statement, int index) {
  const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement.get(), index));
  return text ? std::string(text, static_cast<size_t>(sqlite3_column_bytes(statement.get(), index))) : std::string();
}

Result<Connection> connect(const fs::path& path, int flags) {
  Connection connection{.path = path, .database = nullptr, .writable = (flags & SQLITE_OPEN_READWRITE) != 0};
  sqlite3* raw = nullptr;
  const int code = sqlite3_open_v2(path.c_str(), &raw, flags | SQLITE_OPEN_FULLMUTEX, nullptr);
  connection.database.reset(raw);
  if (code != SQLITE_OK) return sqlite_error(code, raw, path, "opening");
  sqlite3_busy_timeout(raw, kRecordsBusyMsMax);
  return connection;
}

Result<void> check_version(const Connection& connection) {
  ACC_TRY(const int64_t version, connection.number("PRAGMA user_version", "reading the version of"));
  if (version <= kRecordsVersion) return {};
  return Error{ErrorCode::kFailedPrecondition,
               fmt::format("[records] the file is of version {} at most; got version {} in '{}', written by a newer ipfs-accelerate and left "
                           "untouched; try that version, or another XDG_STATE_HOME", kRecordsVersion, version, connection.path.string())};
}

// Read-only first: a file of a newer version may not be touched, and turning on the write-ahead log would be that.
Result<Connection> open_existing(const fs::path& path) {
  ACC_TRY(Connection reader, connect(path, SQLITE_OPEN_READONLY));
  const Result<void> able = check_version(reader);
  if (able || able.error().code != ErrorCode::kPermissionDenied) return able ? Result<Connection>(std::move(reader)) : able.error();
  // A file with a write-ahead log in a folder where its -shm can not be made: read as it is, without what is in the log.
  std::string uri = "file:";
  for (const char c : path.string()) uri += c == '?' || c == '#' || c == '%' ? fmt::format("%{:02x}", c) : std::string(1, c);
  ACC_TRY(Connection still, connect(uri + "?immutable=1", SQLITE_OPEN_READONLY | SQLITE_OPEN_URI));
  still.path = path;
  ACC_TRY_VOID(check_version(still));
  return still;
}

Result<Connection> open_writable(const fs::path& path) {
  ACC_TRY(Connection writer, connect(path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE));
  if (sqlite3_db_readonly(writer.database.get(), "main") == 1) {
    return Error{ErrorCode::kPermissionDenied, fmt::format("[records] '{}' can not be written", path.string())};
  }
  ACC_TRY_VOID(check_version(writer));
  ACC_TRY_VOID(writer.run("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL", "opening"));
  // One transaction: of two processes that find no table one makes it, the other waits and finds it.
  ACC_TRY_VOID(writer.run("BEGIN IMMEDIATE", "locking"));
  ACC_TRY(const int64_t version, writer.number("PRAGMA user_version", "reading the version of"));
  if (version == 0) {
    const std::string schema = fmt::format("{} PRAGMA user_version = {};", kSchema, kRecordsVersion);
    ACC_TRY_VOID(writer.run(schema.c_str(), "writing"));
  }
  ACC_TRY_VOID(writer.run("COMMIT", "writing"));
  // A broken page is found now, not by the one whose record is on it: 2 ms for 1,000 records.
  ACC_TRY(const Statement check, writer.prepare("PRAGMA quick_check(1)", "checking"));
  if (sqlite3_step(check.get()) != SQLITE_ROW) return writer.error("checking");
  if (const std::string found = column_text(check, 0); found != "ok") {
    return Error{ErrorCode::kDataLoss, fmt::format("[records] checking '{}': {}", path.string(), found)};
  }
  return writer;
}

Result<Connection> open_any(const fs::path& path, std::vector<std::string>& notices) {
  std::error_code ignored;
  if (fs::exists(path, ignored)) ACC_TRY_VOID(open_existing(path));
  Result<Connection> writer = open_writable(path);
  if (writer || writer.error().code == ErrorCode::kDataLoss || writer.error().code == ErrorCode::kFailedPrecondition) return writer;
  if (!fs::exists(path, ignored)) return writer;
  ACC_TRY(Connection reader, open_existing(path));
  ACC_TRY_VOID(reader.number("SELECT count(*) FROM records", "reading"));
  notices.push_back(fmt::format("records are read but not written: {}", writer.error().message));
  return reader;
}

// Of several processes that find the file corrupt, one renames it; the others find a good one behind the lock.
Result<Connection> set_aside_and_open(const fs::path& path, const Error& why, std::vector<std::string>& notices) {
  const fs::path lock_path = path.string() + ".lock";
  ACC_TRY(const FileLock lock, FileLock::take(lock_path, "records"));
  if (Result<Connection> again = open_any(path, notices); again || again.error().code != ErrorCode::kDataLoss) return again;
  fs::path aside = fmt::format("{}.corrupt-{}", path.string(), now_unix_s());
  for (int n = 1; fs::exists(aside) && n < 100; ++n) aside = fmt::format("{}.corrupt-{}-{}", path.string(), now_unix_s(), n);
  std::error_code failed;
  fs::rename(path, aside, failed);
  if (failed) return errno_error(failed.value(), "records", "setting aside", path);
  for (const char* suffix : {"-wal", "-shm"}) {
    std::error_code ignored;
    fs::rename(path.string() + suffix, aside.string() + suffix, ignored);
  }
  notices.push_back(fmt::format("the records file was corrupt and is set aside as '{}' ({}): measurements begin anew", aside.string(), why.message));
  return open_any(path, notices);
}

Result<Connection> open_or_set_aside(const fs::path& path, std::vector<std::string>& notices) {
  Result<Connection> opened = open_any(path, notices);
  if (opened || opened.error().code != ErrorCode::kDataLoss) return opened;
  return set_aside_and_open(path, opened.error(), notices);
}

Result<void> check_record(const Record& record) {
  size_t count = 0;
  for (const auto& [name, values] : record.samples) {
    count += values.size();
    for (const double value : values) {
      if (!std::isfinite(value)) return Error{ErrorCode::kInvalidArgument, fmt::format("[records] samples are numbers; got {} in '{}'; leave it out", value, name)};
    }
  }
  if (count > kRecordSamplesMax) {
    return Error{ErrorCode::kResourceExhausted, fmt::format("[records] a record has at most {} samples; got {}", kRecordSamplesMax, count)};
  }
  return {};
}

Result<void> insert(const Connection& connection, const Record& record) {
  const std::string samples = dump_json(record.samples), notes = dump_json(record.notes);
  if (samples.size() > kRecordTextBytesMax || notes.size() > kRecordTextBytesMax) {
    return Error{ErrorCode::kResourceExhausted, fmt::format("[records] samples and notes take at most {} bytes each; got {} and {}", kRecordTextBytesMax,
                                                            samples.size(), notes.size())};
  }
  ACC_TRY(const Statement statement, connection.prepare(fmt::format("INSERT INTO records ({}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)", kColumns), "writing"));
  const RecordKey& key = record.key;
  sqlite3_bind_int64(statement.get(), 1, record.unix_s != 0 ? record.unix_s : now_unix_s());
  int index = 2;
  for (const std::string* text : {&record.kind, &key.model_id, &key.quantization, &key.shape, &key.target, &key.versions, &key.fingerprint}) {
    bind_text(statement, index++, *text);
  }
  sqlite3_bind_int64(statement.get(), index++, key.threads);
  for (const std::string* text : {&record.verdict, &samples, &notes}) bind_text(statement, index++, *text);
  if (sqlite3_step(statement.get()) != SQLITE_DONE) return connection.error("writing");
  const std::string prune = fmt::format("DELETE FROM records WHERE id <= (SELECT max(id) FROM records) - {}", kRecordsMax);
  return connection.run(prune.c_str(), "pruning");
}

// A row whose JSON is not ours (edited by hand) loses its samples, not the whole answer.
Record read_row(const Statement& row) {
  Record record;
  record.unix_s = sqlite3_column_int64(row.get(), 0);
  int index = 1;
  RecordKey& key = record.key;
  for (std::string* text : {&record.kind, &key.model_id, &key.quantization, &key.shape, &key.target, &key.versions, &key.fingerprint}) {
    *text = column_text(row, index++);
  }
  key.threads = static_cast<uint32_t>(sqlite3_column_int64(row.get(), index++));
  record.verdict = column_text(row, index++);
  const Result<Json> samples = parse_json(column_text(row, index++), {.where = "records"}), notes = parse_json(column_text(row, index), {.where = "records"});
  if (samples && samples->is_object()) {
    for (const auto& [name, values] : samples->items()) {
      if (!values.is_array()) continue;
      for (const Json& value : values) {
        if (value.is_number()) record.samples[name].push_back(value.get<double>());
      }
    }
  }
  if (notes && notes->is_array()) {
    for (const Json& note : *notes) {
      if (note.is_string()) record.notes.push_back(note.get<std::string>());
    }
  }
  return record;
}

Result<std::vector<Record>> select(const Connection& connection, const RecordFilter& filter) {
  std::string sql = fmt::format("SELECT {} FROM records WHERE 1", kColumns);
  std::vector<const std::string*> texts;
  const auto match = [&](const char* column, const std::string& value) {
    if (value.empty()) return;
    sql += fmt::format(" AND {} = ?", column);
    texts.push_back(&value);
  };
  match("kind", filter.kind), match("model_id", filter.model_id), match("quantization", filter.quantization), match("shape", filter.shape);
  match("target", filter.target), match("versions", filter.versions), match("fingerprint", filter.fingerprint);
  if (filter.threads != 0) sql += fmt::format(" AND threads = {}", filter.threads);
  sql += fmt::format(" ORDER BY id DESC LIMIT {}", kRecordsReadMax);
  ACC_TRY(const Statement rows, connection.prepare(sql, "reading"));
  for (size_t i = 0; i < texts.size(); ++i) bind_text(rows, static_cast<int>(i) + 1, *texts[i]);
  std::vector<Record> found;
  int code = SQLITE_OK;
  while ((code = sqlite3_step(rows.get())) == SQLITE_ROW) found.push_back(read_row(rows));
  if (code != SQLITE_DONE) return connection.error("reading");
  return found;
}

}  // namespace

struct Records::State {
  mutable std::mutex mutex;
  fs::path path;
  Connection connection;                // guarded by mutex, as the rest
  std::vector<std::string> notices;
  size_t notices_said = 0;

  void say_notices() {
    for (; notices_said < notices.size(); ++notices_said) log_warning(notices[notices_said]);
  }
  // Once more on a new file where the old one turns out to be corrupt.
  template <class T> Result<T> guarded(const std::function<Result<T>(const Connection&)>& body) {
    std::lock_guard lock(mutex);
    if (!connection.database) return Error{ErrorCode::kUnavailable, fmt::format("[records] '{}' was corrupt and no new file could be made", path.string())};
    Result<T> result = body(connection);
    if (result || result.error().code != ErrorCode::kDataLoss) return result;
    connection.database.reset();
    Result<Connection> fresh = set_aside_and_open(path, result.error(), notices);
    say_notices();
    if (!fresh) return fresh.error();
    connection = std::move(*fresh);
    return body(connection);
  }
};

Records::Records() : state_(std::make_unique<State>()) {}
Records::~Records() = default;

Result<std::unique_ptr<Records>> Records::open(fs::path path) {
  std::unique_ptr<Records> records(new Records);
  State& state = *records->state_;
  state.path = path.empty() ? state_dir() / "records.sqlite" : std::move(path);
  std::error_code failed;
  if (!state.path.parent_path().empty()) fs::create_directories(state.path.parent_path(), failed);
  if (failed) return errno_error(failed.value(), "records", "making the folder", state.path.parent_path());
  ACC_TRY(state.connection, open_or_set_aside(state.path, state.notices));
  state.say_notices();
  return records;
}

Result<void> Records::add(const Record& record) {
  ACC_TRY_VOID(check_record(record));
  const auto write = [&](const Connection& connection) -> Result<void> {
    if (!connection.writable) return Error{ErrorCode::kPermissionDenied, fmt::format("[records] '{}' can only be read", connection.path.string())};
    return insert(connection, record);
  };
  return state_->guarded<void>(write);
}

Result<std::vector<Record>> Records::find(const RecordFilter& filter) {
  return state_->guarded<std::vector<Record>>([&](const Connection& connection) { return select(connection, filter); });
}

std::vector<std::string> Records::notices() const {
  std::lock_guard lock(state_->mutex);
  return state_->notices;
}

const fs::path& Records::path() const { return state_->path; }

}  // namespace accelerate
