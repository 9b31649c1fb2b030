//! One function body, compiled for each instruction set and chosen at run time.

/// Defines `$name(level, ...)` that runs `$body::<FUSED, ...>(...)` compiled for the level. `FUSED` says whether the
/// processor fuses multiply and add. The body must be `#[inline(always)]`, and so must all that it calls in a loop.
macro_rules! for_level {
    (
        $(#[$doc:meta])*
        $visibility:vis $name:ident $(<$($generic:ident: $bound:ident),+>)? = $body:ident
        ($($argument:ident: $type:ty),* $(,)?) $(-> $result:ty)?
    ) => {
        $(#[$doc])*
        $visibility fn $name$(<$($generic: $bound),+>)?(
            level: $crate::cpu::simd::SimdLevel,
            $($argument: $type),*
        ) $(-> $result)? {
            use $crate::cpu::simd::SimdLevel;
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
            fn avx512$(<$($generic: $bound),+>)?($($argument: $type),*) $(-> $result)? {
                $body::<true $($(, $generic)+)?>($($argument),*)
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2$(<$($generic: $bound),+>)?($($argument: $type),*) $(-> $result)? {
                $body::<true $($(, $generic)+)?>($($argument),*)
            }
            match level {
                #[cfg(target_arch = "x86_64")]
                // SAFETY: the level says that the processor has these instructions.
                SimdLevel::Avx512 | SimdLevel::Avx512Bf16 => unsafe { avx512$(::<$($generic),+>)?($($argument),*) },
                #[cfg(target_arch = "x86_64")]
                // SAFETY: as above.
                SimdLevel::Avx2 => unsafe { avx2$(::<$($generic),+>)?($($argument),*) },
                SimdLevel::Neon => $body::<true $($(, $generic)+)?>($($argument),*),
                _ => $body::<false $($(, $generic)+)?>($($argument),*),
            }
        }
    };
}

pub(super) use for_level;
