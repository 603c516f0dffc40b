# A kernel file's suffix names the instruction set it is compiled for; nothing else in the tree may.
set(ACC_ISA_FLAGS_avx2 -mavx2 -mfma -mf16c -mbmi2)
set(ACC_ISA_FLAGS_avx512 ${ACC_ISA_FLAGS_avx2} -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vnni -mprefer-vector-width=512)
set(ACC_ISA_FLAGS_avx512bf16 ${ACC_ISA_FLAGS_avx512} -mavx512bf16)

function(acc_set_isa_flags)
  foreach(source IN LISTS ARGN)
    foreach(isa avx2 avx512 avx512bf16)
      if(source MATCHES "_${isa}\\.cc$")
        set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS "${ACC_ISA_FLAGS_${isa}}")
      endif()
    endforeach()
  endforeach()
endfunction()
