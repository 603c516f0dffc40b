#include "accelerate/engine/fingerprint.h"

#include <elf.h>
#include <link.h>

#include <algorithm>
#include <cstring>
#include <span>

#include <fmt/format.h>

namespace accelerate {
namespace {

constexpr size_t kBuildIdBytesShown = 8;

std::string build_id_in(const char* notes, size_t bytes) {
  const auto padded = [](size_t n) { return (n + 3) & ~size_t{3}; };
  while (bytes >= sizeof(ElfW(Nhdr))) {
    ElfW(Nhdr) header;
    std::memcpy(&header, notes, sizeof header);
    const size_t whole = sizeof header + padded(header.n_namesz) + padded(header.n_descsz);
    if (whole > bytes) return {};
    if (header.n_type == NT_GNU_BUILD_ID && header.n_namesz == 4 && std::memcmp(notes + sizeof header, "GNU", 4) == 0) {
      std::string text;
      const char* id = notes + sizeof header + padded(header.n_namesz);
      for (size_t i = 0; i < std::min<size_t>(header.n_descsz, kBuildIdBytesShown); ++i) text += fmt::format("{:02x}", static_cast<unsigned char>(id[i]));
      return text;
    }
    notes += whole;
    bytes -= whole;
  }
  return {};
}

// The first object that is walked is the program itself.
int read_build_id(dl_phdr_info* info, size_t, void* into) {
  for (const ElfW(Phdr)& header : std::span(info->dlpi_phdr, info->dlpi_phnum)) {
    if (header.p_type != PT_NOTE) continue;
    std::string id = build_id_in(reinterpret_cast<const char*>(info->dlpi_addr + header.p_vaddr), header.p_memsz);
    if (id.empty()) continue;
    *static_cast<std::string*>(into) = std::move(id);
    break;
  }
  return 1;
}

const std::string& build_id() {
  static const std::string id = [] {
    std::string found;
    dl_iterate_phdr(&read_build_id, &found);
    return found;
  }();
  return id;
}

}  // namespace

std::string device_fingerprint_of(const CpuInfo& cpu, std::string_view isa) {
  const uint64_t memory = cpu.memory_limit_bytes != 0 ? std::min(cpu.memory_limit_bytes, cpu.memory_bytes) : cpu.memory_bytes;
  // One decimal: a kernel that reserves some MiB more is no other machine.
  return fmt::format("{} | {} | {} of {} CPUs{} | {:.1f} GiB", cpu.model, isa, cpu.affinity.size(), cpu.cores_logical,
                     cpu.quota > 0 ? fmt::format(", quota {:.2f}", cpu.quota) : "", static_cast<double>(memory) / (uint64_t{1} << 30));
}

std::string device_fingerprint() {
  const Result<Isa> isa = usable_isa();
  return device_fingerprint_of(cpu_info(), isa ? isa_name(*isa) : "no kernels");
}

std::string release_versions(std::string_view backend_version) {
  return fmt::format("ipfs-accelerate {}, backend {}", ACC_VERSION, backend_version.empty() ? "without version" : backend_version);
}

std::string exact_versions(std::string_view backend_version) {
  return build_id().empty() ? release_versions(backend_version) : fmt::format("{}, build {}", release_versions(backend_version), build_id());
}

}  // namespace accelerate
