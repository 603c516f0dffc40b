#include "accelerate/kernels/kernel_table.h"

#include <gtest/gtest.h>

#include "tests/kernels/usable.h"

namespace accelerate {
namespace {

TEST(KernelTable, EachInstructionSetHasItsOwnCompleteTable) {
  for (Isa isa : test::kAllIsas) {
    const KernelTable& table = native_kernels(isa);
    EXPECT_EQ(table.isa, isa);
    EXPECT_TRUE(table.matmul_prepare && table.matmul && table.rms_norm && table.layer_norm && table.rope && table.kv_store && table.attention &&
                table.add && table.activate && table.activate_multiply && table.all_finite);
  }
}

TEST(KernelTable, ForcingAnInstructionSetChangesTheCode) {  // a table that silently fell back to another would share its functions
  const KernelTable& portable = native_kernels(Isa::kPortable);
  const KernelTable& avx2 = native_kernels(Isa::kAvx2);
  const KernelTable& avx512 = native_kernels(Isa::kAvx512);
  const KernelTable& bf16 = native_kernels(Isa::kAvx512Bf16);
  EXPECT_NE(portable.matmul, avx2.matmul);
  EXPECT_NE(avx2.matmul, avx512.matmul);
  EXPECT_NE(avx512.matmul, bf16.matmul);
  EXPECT_NE(portable.attention, avx2.attention);
  EXPECT_NE(avx2.attention, avx512.attention);
  EXPECT_NE(portable.rms_norm, avx2.rms_norm);
  EXPECT_NE(avx2.rms_norm, avx512.rms_norm);
}

}  // namespace
}  // namespace accelerate
