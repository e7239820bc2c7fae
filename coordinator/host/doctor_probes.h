/* The checks behind doctor.h, one function each. Used by doctor.c alone. */
#ifndef HOST_DOCTOR_PROBES_H
#define HOST_DOCTOR_PROBES_H

#include "host/doctor.h"

/* Writes what was found. The functions below start from status DOCTOR_OK and empty texts. */
void doctor_find(DoctorCheck *check, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Lowers the status and says what follows. */
void doctor_follow(DoctorCheck *check, DoctorStatus status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* doctor_cgroups.c */
void doctor_check_cgroups(const DoctorInput *input, DoctorCheck *check);
void doctor_check_limits(const DoctorInput *input, DoctorCheck *check);
void doctor_check_freezer(const DoctorInput *input, DoctorCheck *check);
void doctor_check_reclaim(const DoctorInput *input, DoctorCheck *check);
void doctor_check_swap(const DoctorInput *input, DoctorCheck *check);

/* doctor_kernel.c */
void doctor_check_kernel(const DoctorInput *input, DoctorCheck *check);
void doctor_check_capabilities(const DoctorInput *input, DoctorCheck *check);
void doctor_check_namespaces(const DoctorInput *input, DoctorCheck *check);
void doctor_check_tcp_table(const DoctorInput *input, DoctorCheck *check);
void doctor_check_defer_accept(const DoctorInput *input, DoctorCheck *check);
void doctor_check_sock_diag(const DoctorInput *input, DoctorCheck *check);
void doctor_check_pidfd(const DoctorInput *input, DoctorCheck *check);
void doctor_check_pageout(const DoctorInput *input, DoctorCheck *check);
void doctor_check_seccomp(const DoctorInput *input, DoctorCheck *check);
void doctor_check_overlay(const DoctorInput *input, DoctorCheck *check);
void doctor_check_loop(const DoctorInput *input, DoctorCheck *check);
void doctor_check_open_files(const DoctorInput *input, DoctorCheck *check);

/* doctor.c */
void doctor_check_ext4(const DoctorInput *input, DoctorCheck *check);
void doctor_check_images(const DoctorInput *input, DoctorCheck *check);
void doctor_check_network(const DoctorInput *input, DoctorCheck *check);

/* doctor_pressure.c */
void doctor_check_pressure(const DoctorInput *input, DoctorCheck *check);

/* doctor_criu.c */
void doctor_check_criu(const DoctorInput *input, DoctorCheck *check);

#endif
