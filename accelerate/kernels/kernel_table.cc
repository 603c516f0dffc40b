#include "accelerate/kernels/kernel_table.h"

#include "accelerate/kernels/isa/entries.h"

namespace accelerate {
namespace {

#define ACC_TABLE(isa, matmul_space, space)                                                                           \
  {                                                                                                                   \
    isa, matmul_space::matmul_prepare, matmul_space::matmul, space::rms_norm, space::layer_norm, space::rope,         \
        space::kv_store, space::attention, space::add, space::activate, space::activate_multiply, space::all_finite  \
  }

constexpr KernelTable kTables[kIsaCount] = {
    ACC_TABLE(Isa::kPortable, portable, portable),
    ACC_TABLE(Isa::kAvx2, avx2, avx2),
    ACC_TABLE(Isa::kAvx512, avx512, avx512),
    ACC_TABLE(Isa::kAvx512Bf16, avx512bf16, avx512),
};

}  // namespace

const KernelTable& native_kernels(Isa isa) { return kTables[static_cast<int>(isa)]; }

}  // namespace accelerate
