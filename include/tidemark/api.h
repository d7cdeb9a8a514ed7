/* Marks of the public interface: what is exported, what must not be ignored. */
#ifndef TIDEMARK_API_H
#define TIDEMARK_API_H

#if defined(__GNUC__)
#define TMK_API __attribute__((visibility("default")))
#define TMK_CHECKED __attribute__((warn_unused_result))
#define TMK_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define TMK_API
#define TMK_CHECKED
#define TMK_PRINTF(fmt, args)
#endif

#ifdef __cplusplus
#define TMK_BEGIN_C extern "C" {
#define TMK_END_C }
#else
#define TMK_BEGIN_C
#define TMK_END_C
#endif

#endif
