/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _BCH_BASE_H
#define _BCH_BASE_H

#endif
